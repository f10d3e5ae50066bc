/**
 * What is not proved of the contract, and why; and what occurs beyond it.
 */
import type { Reason } from "./report.ts";

const anything = /./;

const kinds: readonly Reason[] = [
  {
    operations: /^(Swarm|Node|Service|Task|Secret|Config)|^VolumeUpdate$/,
    why: "one engine, one host: there is no swarm",
  },
  { operations: /^PluginList$/, items: [/200 /], why: "there are no plugins" },
  { operations: /Plugin(?!List)/, why: "there are no plugins" },
  {
    operations: /^ImageBuild$/,
    items: [/query (memory|memswap|cpu)/],
    why: "nobody sees a build's containers; they get their limits as others do",
  },
  {
    operations: /^ImageBuild$/,
    items: ["query rm", "query forcerm", "query version", /header Content-type/],
    why: "nothing of a step's container stays, there is one builder, and an archive tells what it is",
  },
  {
    operations: /^ImageBuild$/,
    items: ["query pull", /X-Registry-Config/],
    why: "they matter to a registry alone, and no contract test of builds has one",
  },
  { operations: /^Session$/, why: "BuildKit's own protocol is still to come" },
  {
    operations: /^DistributionInspect$/,
    items: [/Descriptor\.(urls|annotations|data|artifactType|platform)/],
    why: "a registry does not tell that of what is asked for by name",
  },
];

/** What no answer of berth's can have, in whatever operation. */
const everywhere: readonly Reason[] = [
  {
    operations: anything,
    items: [/\bCluster(VolumeSpec|Volume)?\.|Swarm\.(RemoteManagers|Nodes|Managers|Cluster)/],
    why: "one engine, one host: there is no swarm",
  },
  { operations: anything, items: [/\bArgsEscaped$/, /\bOsVersion$/], why: "Windows" },
  {
    operations: /^(?!ContainerInspect$)/,
    items: [/\b(CpuCount|CpuPercent|IOMaximumIOps|IOMaximumBandwidth)$/, /Isolation$/],
    why: "Windows",
  },
  {
    operations: /^(ContainerCreate|ContainerInspect)$/,
    items: [
      /BindOptions\.(Propagation|NonRecursive|ReadOnly\w*)$/,
      /(VolumeOptions|ImageOptions)\.Subpath$|DriverConfig\.Options\{\}$|TmpfsOptions\.Options\[\]\[\]$/,
      /\b(NetworkDisabled|MemorySwappiness|StorageOpt\{\})$/,
      /^body .*\b(UsernsMode|OomKillDisable)$/,
    ],
    why: "tests/e2e/create-fields.test.ts and mounts.test.ts show the effect or the refusal",
  },
  {
    operations: /^ContainerStats$/,
    items: [/storage_stats\.|commitbytes|commitpeak|privateworking|endpoint_id|instance_id/],
    why: "Windows",
  },
  {
    operations: /^(ContainerInspect|ContainerList|Image|SystemDataUsage)/,
    items: [/ImageManifestDescriptor\.|(^|\b)Descriptor\.|Manifests\[\]|query manifests/],
    why: "dockerd has it with containerd's image store only, and berth keeps images in its own",
  },
  { operations: anything, items: [/KernelMemoryTCP$/], why: "dockerd ignores it, too" },
  {
    operations: /^(ContainerInspect|ContainerUpdate)$/,
    items: [/\bDeviceRequests\[\]/],
    why: "there is no driver for GPUs: the request is refused with that word",
  },
  {
    operations: /^(ContainerCreate|ContainerInspect|ContainerUpdate)$/,
    items: [/\b(BlkioWeight\b|BlkioWeightDevice)/, /\bCpuRealtime(Period|Runtime)$/],
    host: true,
    why: "hosts without a weighing I/O scheduler, or without real-time groups, do not take it",
  },
  {
    operations: /^(ContainerCreate|NetworkConnect)$/,
    items: [
      /(EndpointsConfig\{\}|EndpointConfig)\.(NetworkID|EndpointID|Gateway|IPAddress|IPPrefixLen|DNSNames|IPv6Gateway|GlobalIPv6)/,
    ],
    why: "the daemon tells of these, and dockerd does not take them either",
  },
  {
    operations: /^SystemDataUsage$/,
    items: [/Networks\{\}\.(IPAMConfig|Links|Aliases|DNSNames)/],
    why: "as in the list of containers",
  },
  {
    operations: /^Network(List|Inspect)$/,
    items: [/Peers\[\]/],
    why: "swarm",
  },
  {
    operations: /^ContainerInspect$/,
    items: [/Secondary(IP|IPv6)Addresses/],
    why: "a container has one address a network",
  },
  {
    operations: /^Volume(Create|Inspect|List)|^SystemDataUsage$/,
    items: [/\bStatus\{\}$/, /\b(Options|DriverOpts)\{\}$/],
    why: "options of the local driver are still to come",
  },
  {
    operations: /^Volume(Create|Inspect|List)/,
    items: [/UsageData/],
    why: "only df counts, as in dockerd",
  },
];

/** Single gaps. */
const single: readonly Reason[] = [
  {
    operations: /^ContainerAttachWebsocket$/,
    items: ["status 200"],
    why: "without the handshake it is 400, as in dockerd",
  },
  { operations: /^ContainerStart$/, items: ["query detachKeys"], why: "dockerd ignores it, too" },
  {
    operations: /^ContainerCreate$/,
    items: ["body HostConfig.Cgroup", "body HostConfig.Mounts[].Consistency"],
    why: "nothing on Linux",
  },
  {
    operations: /^ContainerInspect$/,
    items: ["200 HostConfig.Mounts[].Consistency"],
    why: "nothing on Linux",
  },
  {
    operations: /^ContainerStats$/,
    items: [/blkio_stats\./, /memory_stats\.failcnt$/],
    host: true,
    why: "depends on the version of control groups and on the disks that the kernel counts",
  },
  {
    operations: /^ContainerUpdate$/,
    items: [
      /body (CgroupParent|Blkio|Devices|DeviceCgroupRules|MemorySwappiness|OomKillDisable|Init|Ulimits)/,
    ],
    why: "dockerd changes limits and the restart policy only",
  },
  {
    operations: /^ContainerUpdate$/,
    items: ["200 Warnings[]"],
    host: true,
    why: "hosts without swap accounting",
  },
  {
    operations: /^ImageCommit$/,
    items: [
      /body (Hostname|Domainname|Attach|Tty|OpenStdin|StdinOnce|Image|NetworkDisabled|MacAddress|StopTimeout)/,
    ],
    why: "an image's configuration does not have it",
  },
  {
    operations: /^ImagePush$/,
    items: ["query platform"],
    why: "an image has one platform here",
  },
  {
    operations: /^ImagePush$/,
    items: ["status 404"],
    why: "the stream has begun by then, as in dockerd",
  },
  {
    operations: /^ImageList$/,
    items: ["query all", "query digests"],
    why: "there are no intermediate images, and digests are always there",
  },
  {
    operations: /^ContainerDelete$/,
    items: ["status 400"],
    why: "nothing in a removal can be malformed",
  },
  { operations: /^VolumeList$/, items: ["200 Warnings[]"], why: "there are none" },
  { operations: /^PluginList$/, items: ["query filters"], why: "there are no plugins" },
  {
    operations: /^ImageDelete$/,
    items: ["query platforms"],
    why: "an image has one platform here",
  },
  {
    operations: /^ImageTag$/,
    items: ["status 409"],
    why: "a name moves to where it is put, as in dockerd",
  },
  { operations: /^NetworkInspect$/, items: ["query verbose", "query scope"], why: "swarm" },
  {
    operations: /^ContainerWait$/,
    items: [/200 .*Error/],
    why: "dockerd tells of it when a removal fails, which the kernel would have to refuse",
  },
  { operations: /^SystemAuth$/, items: ["body email"], why: "dockerd ignores it, too" },
  { operations: /^SystemAuth$/, items: ["status 204"], why: "dockerd never answers so" },
  { operations: /^SystemPingHead$/, items: ["200"], why: "an answer to HEAD has no body" },
  {
    operations: /^SystemVersion$/,
    items: ["200 Experimental"],
    why: "left out when it is false, as in dockerd",
  },
  {
    operations: /^SystemInfo$/,
    items: [
      /Plugins\.Authorization|GenericResources|Runtimes\{\}\.(runtimeArgs|status)|ProductLicense/,
      /DiscoveredDevices|CDISpecDirs|Containerd\./,
    ],
    why: "berth has none of it",
  },
  { operations: /^SystemInfo$/, items: [/DefaultAddressPools|Mirrors/], why: "none are set" },
  { operations: /^SystemInfo$/, items: ["200 Warnings[]"], host: true, why: "what the host lacks" },
];

/** Why something is not proved. A reason for what is proved fails the test. */
export const reasons: readonly Reason[] = [...kinds, ...everywhere, ...single];

/** What occurs and the contract does not have. What does not occur fails the test. */
export const own: readonly Reason[] = [
  { operations: /^ContainerStats$/, items: ["200 Berth"], why: "berth's own: docs/extensions.md" },
  {
    operations: /^ContainerInspect$/,
    items: ["200 Berth"],
    why: "berth's own: docs/user-namespaces.md",
  },
  { operations: anything, items: ["status 400"], why: "what cannot be read is 400, as in dockerd" },
  {
    operations: anything,
    items: ["status 409"],
    why: "states that do not allow it are 409, as in dockerd",
  },
  { operations: anything, items: ["status 501"], why: "what berth does not do" },
  {
    operations: /^DistributionInspect$/,
    items: ["status 404"],
    why: "the registry has nothing under this name, as in dockerd",
  },
  {
    operations: /^Image(Get(All)?|Load)$/,
    items: ["status 404"],
    why: "an image that is not here, as in dockerd",
  },
  {
    operations: /^ExecStart$/,
    items: ["status 101"],
    why: "an upgraded connection, as in dockerd",
  },
  {
    operations: /^ExecInspect$/,
    items: ["200 ExitCode null"],
    why: "there is none while it runs, as in dockerd",
  },
  {
    operations: /^SystemEvents$/,
    items: ["200 from", "200 id", "200 status"],
    why: "dockerd sends them for clients from before API 1.22",
  },
];
