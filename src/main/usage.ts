/**
 * What `berth daemon --help` says.
 */

/** Where a daemon of root's has its data. */
export const DEFAULT_DATA_ROOT = "/var/lib/berth";
/** Where its configuration is. */
export const CONFIGURATION = "/etc/berth";

/** The text of `berth daemon --help`. */
export const daemonUsage = `
Usage:  berth daemon [OPTIONS]

The engine: serves the Docker Engine API

Options:
  -H, --host list              Socket to listen on: unix://PATH or tcp://ADDRESS:PORT (default unix:///run/berth/berth.sock),
                               or fd://: what systemd listens on for it
      --data-root string       Images, volumes and containers (default "${DEFAULT_DATA_ROOT}")
      --exec-root string       State of running containers (default "/run/berth")
  -p, --pidfile string         File for the daemon's process id
      --bip string             Address and subnet of the default bridge, such as 172.20.0.1/16 (--bip6 for IPv6)
  -b, --bridge string          Name of the default bridge (default "berth0"); none: containers that name no network have none
      --fixed-cidr string      Part of its subnet for containers' addresses (--fixed-cidr-v6 for IPv6)
      --default-gateway string Where its containers' way out leads, if not to the bridge (--default-gateway-v6 for IPv6)
      --ipv6                   Its containers have IPv6 addresses, too
      --icc                    Its containers reach each other (default true)
      --ip string              Address to publish its containers' ports on that name none (default 0.0.0.0)
      --ip-forward             Have the host forward packets (default true)
      --firewall-backend string  auto: a table of nftables', and a way through iptables' FORWARD where that drops (ufw, dockerd);
                               nftables: that table alone; iptables: Docker's chains (default "auto")
      --firewall-policy string  docker, or host: the host's own rules (ufw, firewalld) hold for published ports, too (default "docker")
      --firewall-lock          Others' \`nft flush ruleset\` leaves berth's firewall table, and none but berth changes it (default true)
      --ip-masq                What leaves it has the host's address (default true)
      --mtu int                MTU of containers' interfaces (default 1500)
      --default-address-pool list  base=CIDR,size=BITS: where networks get their subnets (default 172.18.0.0/24 and so on)
  -s, --storage-driver string  overlay2, erofs, btrfs, fuse-overlayfs or vfs (default: the best that works)
      --config-file string     daemon.json (default "/etc/berth/daemon.json", if it is there)
  -l, --log-level string       debug, info, warn or error (default "info")
  -D, --debug                  The same as --log-level debug
      --log-driver string      Log driver of containers that name none (default "json-file")
      --log-opt map            Options that go with it (max-size 20m and max-file 5 unless given)
  -G, --group string           Group that owns the Unix socket (default: docker or berth, if there is one)
      --no-new-privileges      Containers gain no rights by setuid programs, unless they say no-new-privileges=false
      --selinux-enabled        Containers have labels of SELinux, where the host has SELinux
      --authorization-plugin list  Programs that say which requests are allowed, by Docker's protocol
      --audit-log string       File to note in who has asked for what, on which object, with which result
      --default-runtime string Runtime of containers that name none (default "berth")
      --add-runtime name=path  An OCI runtime, such as runc=/usr/sbin/runc
      --insecure-registry list Registry (host, host:port, CIDR) to reach without a valid certificate
      --registry-mirror list   Address to ask before Docker Hub; for any registry: certs.d/HOST/hosts.toml
      --http-proxy string      Proxy for plain HTTP; --https-proxy for TLS (default: the environment's)
      --no-proxy string        Hosts, domains and blocks to reach without; this host always is
      --signature-policy string Which images may come, signed by whose keys: policy.json as podman has it
                               (default "${CONFIGURATION}/policy.json", if it is there)
      --keep-blobs string      Blobs to keep beside the layers that they are unpacked to: always, compressed (what came so), or
                               never (what can be rebuilt byte for byte goes) (default "always")
      --allow-git-directory list  Builds may fetch repositories below it by file:// (default: none)
      --idle-timeout int       Seconds without containers and requests after which the daemon ends (default 0: never)
      --default-userns string  User namespace of containers that name none: auto, or host (default "auto")
      --userns-remap string    USER[:GROUP] whose ids in /etc/subuid and /etc/subgid containers have; "default": dockremap's
      --warm-networks int      Network namespaces to hold ready (default 4)
      --metrics-addr string    ADDRESS:PORT to serve Prometheus metrics on, besides the API's /metrics
      --registry string        ADDRESS[:PORT] to serve a registry on, from the daemon's own content store
      --registry-config string config.yml for it
      --label list             Labels of the engine, KEY=VALUE, that info shows
      --tls                    Serve TCP addresses by TLS; with --tlsverify, only clients whose certificate is of the
                               authority (--tlscacert, --tlscert, --tlskey: files, default ~/.docker/{ca,cert,key}.pem)
                               Without --tlsverify a TCP address is refused, unless --tls=false or --tlsverify=false is said
      --rootless               Be an ordinary user's daemon, without any rights on the host (docs/rootless.md)
      --rootless-network string  What leads its containers out: pasta, slirp4netns or none (default: what is installed)
      --user string            Started by root: run as this user; only a guard of a few requests keeps the host's rights
                               (docs/privilege-separation.md)
      --guard-policy string    What that user may have of the host: binds, ports, devices (default "/etc/berth/guard.json")
      --live-restore           Accepted: containers always outlive the daemon
`;
