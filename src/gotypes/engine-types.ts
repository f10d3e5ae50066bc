/** What docker 28 has of the engine and of everything but containers, as Go declares it. */

/** In the notation of notation.ts. What only swarms have is empty: no answer has it. */
export const engineTypes = `
time.Time:
  text string
time.Duration: int64
image.InspectResponse:
  ID=Id string; RepoTags []string; RepoDigests []string; Parent string; Comment string; Created? string;
  Container? string; ContainerConfig? *container.Config; DockerVersion string; Author string;
  Config *v1.DockerOCIImageConfig; Architecture string; Variant? string; Os string; OsVersion? string;
  Size int64; VirtualSize? int64; GraphDriver storage.DriverData; RootFS image.RootFS; Metadata image.Metadata;
  Descriptor? *v1.Descriptor; Manifests? []image.ManifestSummary
v1.DockerOCIImageConfig:
  +ImageConfig v1.ImageConfig; +DockerOCIImageConfigExt v1.DockerOCIImageConfigExt
v1.ImageConfig:
  User? string; ExposedPorts? map[string]struct {}; Env? []string; Entrypoint? []string; Cmd? []string;
  Volumes? map[string]struct {}; WorkingDir? string; Labels? map[string]string; StopSignal? string;
  ArgsEscaped? bool
v1.DockerOCIImageConfigExt:
  Healthcheck? *v1.HealthcheckConfig; OnBuild? []string; Shell? []string
image.RootFS:
  Type? string; Layers? []string
image.Metadata:
  LastTagTime? time.Time
image.ManifestSummary:
  ID string; Descriptor v1.Descriptor; Available bool; Size image.manifestSize; Kind image.ManifestKind;
  ImageData? *image.ImageProperties; AttestationData? *image.AttestationProperties
image.manifestSize:
  Content int64; Total int64
image.unpackedSize:
  Unpacked int64
image.ManifestKind: string
image.ImageProperties:
  Platform v1.Platform; Size image.unpackedSize; Containers []string
image.AttestationProperties:
  For digest.Digest
network.Inspect:
  Name string; ID=Id string; Created time.Time; Scope string; Driver string; EnableIPv4 bool; EnableIPv6 bool;
  IPAM network.IPAM; Internal bool; Attachable bool; Ingress bool; ConfigFrom network.ConfigReference;
  ConfigOnly bool; Containers map[string]network.EndpointResource; Options map[string]string;
  Labels map[string]string; Peers? []network.PeerInfo; Services? map[string]network.ServiceInfo
network.IPAM:
  Driver string; Options map[string]string; Config []network.IPAMConfig
network.IPAMConfig:
  Subnet? string; IPRange? string; Gateway? string; AuxAddress=AuxiliaryAddresses? map[string]string
network.ConfigReference:
  Network string
network.EndpointResource:
  Name string; EndpointID string; MacAddress string; IPv4Address string; IPv6Address string
network.PeerInfo:
  Name string; IP string
network.ServiceInfo:
  VIP string; Ports []string; LocalLBIndex int; Tasks []network.Task
network.Task:
  Name string; EndpointID string; EndpointIP string; Info map[string]string
volume.Volume:
  ClusterVolume? *volume.ClusterVolume; CreatedAt? string; Driver string; Labels map[string]string;
  Mountpoint string; Name string; Options map[string]string; Scope string; Status? map[string]any;
  UsageData? *volume.UsageData
volume.ClusterVolume:
volume.UsageData:
  RefCount int64; Size int64
types.Plugin:
  Config types.PluginConfig; Enabled bool; ID=Id? string; Name string; PluginReference? string;
  Settings types.PluginSettings
types.PluginConfig:
  Args types.PluginConfigArgs; Description string; DockerVersion? string; Documentation string;
  Entrypoint []string; Env []types.PluginEnv; Interface types.PluginConfigInterface; IpcHost bool;
  Linux types.PluginConfigLinux; Mounts []types.PluginMount; Network types.PluginConfigNetwork; PidHost bool;
  PropagatedMount string; User? types.PluginConfigUser; WorkDir string;
  Rootfs=rootfs? *types.PluginConfigRootfs
types.PluginConfigArgs:
  Description string; Name string; Settable []string; Value []string
types.PluginEnv:
  Description string; Name string; Settable []string; Value *string
types.PluginConfigInterface:
  ProtocolScheme? string; Socket string; Types []types.PluginInterfaceType
types.PluginInterfaceType:
  Capability string; Prefix string; Version string
types.PluginConfigLinux:
  AllowAllDevices bool; Capabilities []string; Devices []types.PluginDevice
types.PluginDevice:
  Description string; Name string; Path *string; Settable []string
types.PluginMount:
  Description string; Destination string; Name string; Options []string; Settable []string; Source *string;
  Type string
types.PluginConfigNetwork:
  Type string
types.PluginConfigUser:
  GID? uint32; UID? uint32
types.PluginConfigRootfs:
  DiffIds=diff_ids []string; Type=type? string
types.PluginSettings:
  Args []string; Devices []types.PluginDevice; Env []string; Mounts []types.PluginMount
system.Info:
  ID string; Containers int; ContainersRunning int; ContainersPaused int; ContainersStopped int; Images int;
  Driver string; DriverStatus [][2]string; SystemStatus? [][2]string; Plugins system.PluginsInfo;
  MemoryLimit bool; SwapLimit bool; KernelMemory? bool; KernelMemoryTCP? bool; CPUCfsPeriod=CpuCfsPeriod bool;
  CPUCfsQuota=CpuCfsQuota bool; CPUShares bool; CPUSet bool; PidsLimit bool; IPv4Forwarding bool; Debug bool;
  NFd int; OomKillDisable bool; NGoroutines int; SystemTime string; LoggingDriver string; CgroupDriver string;
  CgroupVersion? string; NEventsListener int; KernelVersion string; OperatingSystem string; OSVersion string;
  OSType string; Architecture string; IndexServerAddress string; RegistryConfig *registry.ServiceConfig;
  NCPU int; MemTotal int64; GenericResources []swarm.GenericResource; DockerRootDir string;
  HTTPProxy=HttpProxy string; HTTPSProxy=HttpsProxy string; NoProxy string; Name string; Labels []string;
  ExperimentalBuild bool; ServerVersion string; Runtimes map[string]system.RuntimeWithStatus;
  DefaultRuntime string; Swarm swarm.Info; LiveRestoreEnabled bool; Isolation container.Isolation;
  InitBinary string; ContainerdCommit system.Commit; RuncCommit system.Commit; InitCommit system.Commit;
  SecurityOptions []string; ProductLicense? string; DefaultAddressPools? []system.NetworkAddressPool;
  FirewallBackend? *system.FirewallInfo; CDISpecDirs []string; DiscoveredDevices? []system.DeviceInfo;
  Containerd? *system.ContainerdInfo; Warnings []string
system.PluginsInfo:
  Volume []string; Network []string; Authorization []string; Log []string
registry.ServiceConfig:
  AllowNondistributableArtifactsCIDRs? []*registry.NetIPNet; AllowNondistributableArtifactsHostnames? []string;
  InsecureRegistryCIDRs []*registry.NetIPNet; IndexConfigs map[string]*registry.IndexInfo; Mirrors []string;
  ExtraFields=- map[string]any
registry.NetIPNet:
  text string
registry.IndexInfo:
  Name string; Mirrors []string; Secure bool; Official bool
swarm.GenericResource:
  NamedResourceSpec? *swarm.NamedGenericResource; DiscreteResourceSpec? *swarm.DiscreteGenericResource
swarm.NamedGenericResource:
  Kind? string; Value? string
swarm.DiscreteGenericResource:
  Kind? string; Value? int64
system.RuntimeWithStatus:
  +Runtime system.Runtime; Status=status? map[string]string
system.Runtime:
  Path=path? string; Args=runtimeArgs? []string; Type=runtimeType? string; Options=options? map[string]any
swarm.Info:
  NodeID string; NodeAddr string; LocalNodeState swarm.LocalNodeState; ControlAvailable bool; Error string;
  RemoteManagers []swarm.Peer; Nodes? int; Managers? int; Cluster? *swarm.ClusterInfo; Warnings? []string
swarm.LocalNodeState: string
swarm.ClusterInfo:
swarm.Peer:
  NodeID string; Addr string
system.Commit:
  ID string; Expected? string
system.NetworkAddressPool:
  Base string; Size int
system.FirewallInfo:
  Driver string; Info? [][2]string
system.DeviceInfo:
  Source string; ID string
system.ContainerdInfo:
  Address? string; Namespaces system.ContainerdNamespaces
system.ContainerdNamespaces:
  Containers string; Plugins string
types.Version:
  Platform? types.platform; Components? []types.ComponentVersion; Version string;
  APIVersion=ApiVersion string; MinAPIVersion? string; GitCommit string; GoVersion string; Os string;
  Arch string; KernelVersion? string; Experimental? bool; BuildTime? string
types.platform:
  Name string
types.ComponentVersion:
  Name string; Version string; Details? map[string]string
events.Message:
  Status=status? string; ID=id? string; From=from? string; Type events.Type; Action events.Action;
  Actor events.Actor; Scope=scope? string; Time=time? int64; TimeNano=timeNano? int64
events.Type: string
events.Action: string
events.Actor:
  ID string; Attributes map[string]string
system.dockerInfo:
  +Info *system.Info; ServerErrors? []string; UserName=- string; ClientInfo? *system.clientInfo;
  ClientErrors? []string
system.clientInfo:
  Debug bool; +clientVersion system.clientVersion; Plugins []manager.Plugin; Warnings []string
system.versionInfo:
  Client system.clientVersion; Server *types.Version
system.clientVersion:
  Platform? *types.platform; Version? string; APIVersion=ApiVersion? string; DefaultAPIVersion? string;
  GitCommit? string; GoVersion? string; Os? string; Arch? string; BuildTime? string; Context string
manager.Plugin:
  +Metadata metadata.Metadata; Name? string; Path? string; Err? any; ShadowedPaths? []string
metadata.Metadata:
  SchemaVersion? string; Vendor? string; Version? string; ShortDescription? string; URL? string
context.contextWithTLSListing:
  +Metadata store.Metadata; TLSMaterial map[string]store.EndpointFiles; Storage store.StorageInfo
store.Metadata:
  Name? string; Metadata? command.DockerContext; Endpoints? map[string]context.EndpointMetaBase
store.EndpointFiles: []string
store.StorageInfo:
  MetadataPath string; TLSPath string
context.EndpointMetaBase:
  Host? string; SkipTLSVerify bool
command.DockerContext:
  Description string; AdditionalFields map[string]any
`;
