/**
 * kernel: the one narrow path to the kernel's privileged calls. Knows the helper's protocol, and no reason why anybody calls.
 */
export { type KernelOptions, kernelError, socketNumbers, startKernel } from "./client.ts";
export { type HostMount, type HostMounts, hostMounts } from "./mounting.ts";
export {
  type Handle,
  type Kernel,
  KernelError,
  type PortRequest,
  type SeccompRule,
  type SocketRequest,
} from "./port.ts";
