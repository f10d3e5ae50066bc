/**
 * Connecting containers to networks and disconnecting them, whether they run or not.
 *
 * Of a container that runs the record says first which network is about to change, and has the addresses of a new interface before
 * there is one. A daemon that dies before it has told anybody leaves that to the next: what was to be connected is disconnected
 * again, what was to be disconnected goes altogether, and no address is ever given to two.
 */
import { fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { type Handle, KernelError } from "../kernel/index.ts";
import {
  type EndpointRecord,
  type PublishedPort,
  segmentFor,
  setLeading,
  takeInterface,
} from "../network/index.ts";
import type { EndpointSettings } from "../spec/engine-api.ts";
import { announceNetwork } from "./announce.ts";
import { attachmentFor, attachmentsOf, userNetwork, usesNames } from "./attachments.ts";
import type { Container } from "./container.ts";
import type { AttachmentRecord, ContainerRecord } from "./container-record.ts";
import type { EngineDeps } from "./deps.ts";
import { tellHosts } from "./links.ts";
import { relayPorts } from "./live-ports.ts";
import { networkId } from "./network-ids.ts";
import { endpointOn, endpointsOf, leadingOf, opensFor, publishesFor } from "./networking.ts";
import { portWishes } from "./ports.ts";
import { tellResolver } from "./resolv-conf.ts";

const ENOENT = 2;
const ESRCH = 3;

/** Throws a Fault "forbidden" in Docker's words for a container whose namespace is not its own, or on no network for good. */
function checkMode({ hostConfig: { NetworkMode = "" } }: ContainerRecord): void {
  if (NetworkMode === "host" || NetworkMode.startsWith("container:"))
    throw fault(
      "forbidden",
      "network-shared",
      "container sharing network namespace with another container or host cannot be connected to any other network",
    );
  if (NetworkMode === "none")
    throw fault(
      "forbidden",
      "network-shared",
      "container cannot be connected to multiple networks with one of the networks in private (none) mode",
    );
}

/** Throws a Fault "forbidden" in Docker's words for a network that is one only for those who are on no other. */
function checkReference(reference: string): void {
  if (reference === "host" || reference === networkId("host"))
    throw fault(
      "forbidden",
      "network-shared",
      "container cannot be disconnected from host network or connected to host network",
    );
  if (reference === "none" || reference === networkId("none"))
    throw fault(
      "forbidden",
      "network-shared",
      "container cannot be connected to multiple networks with one of the networks in private (none) mode",
    );
}

/**
 * Runs work in the network namespace of a container that runs. Of one that is about to end, which the daemon has not heard of yet,
 * there is none: nothing is done then, as with one that does not run, and its end gives back what it has.
 */
async function inNamespace(
  deps: EngineDeps,
  container: Container,
  work: (netns: Handle) => Promise<void>,
): Promise<void> {
  const netns = await namespaceOf(deps, container);
  if (netns === undefined) return;
  try {
    // Its number may have been another's by then.
    if (container.running) await work(netns);
  } finally {
    await deps.kernel.close(netns).catch(() => {});
  }
}

async function namespaceOf(deps: EngineDeps, container: Container): Promise<Handle | undefined> {
  try {
    return await deps.kernel.openNetns(`/proc/${container.record.state.pid}/ns/net`);
  } catch (error) {
    if (error instanceof KernelError && (error.errno === ENOENT || error.errno === ESRCH))
      return undefined;
    throw error;
  }
}

/** The endpoint by which a container is to lead out, among those that it has. */
function leadingEndpoint(
  deps: EngineDeps,
  record: ContainerRecord,
  family?: 6,
): EndpointRecord | undefined {
  const present = attachmentsOf(record).filter(
    ({ network }) => endpointOn(record, network) !== undefined,
  );
  const leading = leadingOf(deps, present, family);
  return leading && endpointOn(record, leading.network);
}

/** Orders a container's endpoints anew, with its way out and its ports by the one that leads now. */
async function leadAnew(
  deps: EngineDeps,
  container: Container,
  endpoints: readonly EndpointRecord[],
  netns: Handle,
): Promise<void> {
  const { record } = container;
  const before = endpointsOf(record).find((one) => one.ports.length > 0);
  const ports = before?.ports ?? heldPorts(record);
  const plain = endpoints.map((one) => ({ ...one, ports: [] }));
  Object.assign(record, { endpoint: plain[0], moreEndpoints: plain.slice(1) });
  const leading = leadingEndpoint(deps, record);
  const first = plain.find((one) => one.endpointId === leading?.endpointId) ?? plain[0];
  const publishes = leading !== undefined && publishesFor(deps, leading);
  record.endpoint = first && { ...first, ports: publishes ? ports : [] };
  record.heldPorts = publishes || ports.length === 0 ? undefined : ports;
  record.moreEndpoints = plain.filter((one) => one !== first);
  const { publisher } = deps.networks;
  if (before !== undefined && publishes && first !== undefined)
    await publisher.move(before, first, ports);
  else if (before !== undefined) await publisher.republish(before, before.ports, []);
  else if (publishes && first !== undefined) await publisher.republish(first, [], ports);
  if (ports.length > 0) await relayPorts(container, record.endpoint);
  const six = leadingEndpoint(deps, record, 6);
  await setLeading(deps.networks, netns, { 4: leading, 6: six });
}

/** Ports that the shim still holds, and that are still asked for, although no network has published them meanwhile. */
function heldPorts(record: ContainerRecord): readonly PublishedPort[] {
  const wishes = portWishes(record.config, record.hostConfig);
  return (record.heldPorts ?? []).filter((port) =>
    wishes.some(
      ({ protocol, containerPort }) =>
        protocol === port.protocol && containerPort === port.containerPort,
    ),
  );
}

async function connectRunning(
  deps: EngineDeps,
  container: Container,
  attachment: AttachmentRecord,
): Promise<void> {
  const { record } = container;
  const bridge = segmentFor(deps.networks, attachment);
  await inNamespace(deps, container, async (netns) => {
    const wish = { ...attachment, leads: false, opens: opensFor(record) };
    const endpoint = bridge.reserve(wish);
    let wired = false;
    try {
      record.settling = attachment.network;
      record.moreEndpoints = [...(record.moreEndpoints ?? []), endpoint];
      deps.database.insist(record);
      // Where it has been on a network before there is one already.
      await deps.networks.namespaces.redirectResolver(netns).catch(() => {});
      await bridge.wire(netns, endpoint, wish);
      wired = true;
      await deps.networks.openPorts(endpoint, true);
      await leadAnew(deps, container, endpointsOf(record), netns);
    } catch (error) {
      // What has its name when there is none of its own is somebody else's.
      if (wired) await takeInterface(deps.networks, netns, endpoint);
      await givenUp(deps, container, endpoint, netns);
      throw error;
    }
  });
}

/** Takes an endpoint's interface and addresses away; what it led to and published another does now. */
async function parted(
  deps: EngineDeps,
  container: Container,
  endpoint: EndpointRecord,
  netns: Handle,
): Promise<void> {
  await takeInterface(deps.networks, netns, endpoint);
  await givenUp(deps, container, endpoint, netns);
}

async function givenUp(
  deps: EngineDeps,
  container: Container,
  endpoint: EndpointRecord,
  netns: Handle,
): Promise<void> {
  const { record } = container;
  await deps.networks
    .openPorts(endpoint, false)
    .catch((error) => log.debug("close ports", { error: messageOf(error) }));
  // Whoever has ended meanwhile has given everything back already.
  if (endpointOn(record, endpoint.network ?? "")?.endpointId !== endpoint.endpointId) return;
  const rest = endpointsOf(record).filter(({ endpointId }) => endpointId !== endpoint.endpointId);
  await leadAnew(deps, container, rest, netns);
  deps.networks.segment(endpoint.network ?? "")?.release(endpoint);
}

/** Finishes what a daemon has left in the middle of connecting or disconnecting. */
export async function finishSettling(deps: EngineDeps, container: Container): Promise<void> {
  const { record } = container;
  const { settling } = record;
  if (settling === undefined) return;
  const endpoint = endpointOn(record, settling);
  if (endpoint !== undefined)
    await inNamespace(deps, container, (netns) => parted(deps, container, endpoint, netns));
  forgetSettling(record);
}

/** The network that was about to change is none of the container's. */
export function forgetSettling(record: ContainerRecord): void {
  const { settling } = record;
  if (settling === undefined) return;
  record.attachments = attachmentsOf(record).filter(({ network }) => network !== settling);
  record.settling = undefined;
}

/** Connects a container to a network. Throws Faults in Docker's words; nothing has changed then. */
export function connectContainer(
  deps: EngineDeps,
  container: Container,
  reference: string,
  settings: EndpointSettings,
): Promise<void> {
  return container.exclusively(async () => {
    const { record } = container;
    checkMode(record);
    checkReference(reference);
    const others = attachmentsOf(record);
    const attachment = attachmentFor(deps, reference, settings, others);
    if (others.some(({ network }) => network === attachment.network))
      throw fault(
        "forbidden",
        "network-connected",
        `endpoint with name ${record.name} already exists in network ${attachment.name}`,
      );
    const [before, named] = [record.attachments, usesNames(record)];
    record.attachments = [...others, attachment];
    try {
      if (container.running) await connectRunning(deps, container, attachment);
      record.settling = undefined;
      deps.database.insist(record);
    } catch (error) {
      Object.assign(record, { attachments: before, settling: undefined });
      deps.database.save(record);
      throw error;
    }
    if (!container.running) return;
    deps.names.changed();
    tellHosts(deps, container);
    tellResolver(deps, record, named);
    announceNetwork(deps, record, attachment, "connect");
  });
}

function attachmentNamed(
  deps: EngineDeps,
  record: ContainerRecord,
  reference: string,
): AttachmentRecord {
  const id = reference === "bridge" ? "" : userNetwork(deps.networks, reference)?.id;
  const found = attachmentsOf(record).find(
    ({ network, name }) => network === id || name === reference || network === reference,
  );
  if (found !== undefined) return found;
  if (id === undefined)
    throw fault("not-found", "no-such-network", `network ${reference} not found`);
  throw fault(
    "forbidden",
    "network-not-connected",
    `container ${record.id} is not connected to network ${reference}`,
  );
}

/** Disconnects a container from a network. Throws Faults in Docker's words. */
export function disconnectContainer(
  deps: EngineDeps,
  container: Container,
  reference: string,
  force: boolean,
): Promise<void> {
  return container.exclusively(async () => {
    const { record } = container;
    if (record.hostConfig.NetworkMode === "host")
      throw fault(
        "forbidden",
        "network-shared",
        "container cannot be disconnected from host network or connected to host network",
      );
    const attachment = attachmentNamed(deps, record, reference);
    const named = usesNames(record);
    const endpoint = endpointOn(record, attachment.network);
    if (container.running && endpoint !== undefined) {
      record.settling = attachment.network;
      deps.database.insist(record);
      try {
        await inNamespace(deps, container, (netns) => parted(deps, container, endpoint, netns));
      } catch (error) {
        record.settling = undefined;
        deps.database.save(record);
        if (!force) throw error;
        log.warn("disconnect by force", { id: record.id, error: messageOf(error) });
      }
    }
    record.attachments = attachmentsOf(record).filter((one) => one !== attachment);
    record.settling = undefined;
    deps.database.insist(record);
    deps.names.changed();
    if (!container.running) return;
    tellHosts(deps, container);
    tellResolver(deps, record, named);
    announceNetwork(deps, record, attachment, "disconnect");
  });
}
