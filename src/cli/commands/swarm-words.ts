/**
 * What docker takes of words after the commands of swarms: usage lines, and flags as NAME[,SHORT][:TYPE]. They do nothing
 * here, but a wrong word is told of as docker does it, before the daemon says that there is no swarm.
 */

/** By noun and verb. */
export const swarmWords: Readonly<Record<string, readonly [usage: string, flags: string]>> = {
  "swarm ca": [
    "[OPTIONS]",
    "ca-cert:list ca-key:list cert-expiry:duration detach,d external-ca:list quiet,q rotate",
  ],
  "swarm init": [
    "[OPTIONS]",
    `advertise-addr:string autolock availability:string cert-expiry:duration
data-path-addr:string data-path-port:uint default-addr-pool:list
default-addr-pool-mask-length:uint dispatcher-heartbeat:duration external-ca:list
force-new-cluster listen-addr:list max-snapshots:uint snapshot-interval:uint
task-history-limit:int`,
  ],
  "swarm join": [
    "[OPTIONS] HOST:PORT",
    `advertise-addr:string availability:string data-path-addr:string listen-addr:list
token:string`,
  ],
  "swarm join-token": ["[OPTIONS] (worker|manager)", "quiet,q rotate"],
  "swarm leave": ["[OPTIONS]", "force,f"],
  "swarm unlock": ["", ""],
  "swarm unlock-key": ["[OPTIONS]", "quiet,q rotate"],
  "swarm update": [
    "[OPTIONS]",
    `autolock cert-expiry:duration dispatcher-heartbeat:duration external-ca:list
max-snapshots:uint snapshot-interval:uint task-history-limit:int`,
  ],
  "node demote": ["NODE [NODE...]", ""],
  "node inspect": ["[OPTIONS] self|NODE [NODE...]", "format,f:string pretty"],
  "node ls": ["[OPTIONS]", "filter,f:filter format:string quiet,q"],
  "node promote": ["NODE [NODE...]", ""],
  "node ps": ["[OPTIONS] [NODE...]", "filter,f:filter format:string no-resolve no-trunc quiet,q"],
  "node rm": ["[OPTIONS] NODE [NODE...]", "force,f"],
  "node update": ["[OPTIONS] NODE", "availability:string label-add:list label-rm:list role:string"],
  "service create": [
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    `cap-add:list cap-drop:list config:list constraint:list container-label:list
credential-spec:list detach,d dns:list dns-option:list dns-search:list
endpoint-mode:string entrypoint:list env,e:list env-file:list generic-resource:list
group:list health-cmd:string health-interval:duration health-retries:int
health-start-interval:duration health-start-period:duration health-timeout:duration
host:list hostname:string init isolation:string label,l:list limit-cpu:decimal
limit-memory:bytes limit-pids:int log-driver:string log-opt:list max-concurrent:uint
mode:string mount:list name:string network:list no-healthcheck no-resolve-image
oom-score-adj:int placement-pref:list publish,p:list quiet,q read-only replicas:uint
replicas-max-per-node:uint reserve-cpu:decimal reserve-memory:bytes
restart-condition:string restart-delay:duration restart-max-attempts:uint
restart-window:duration rollback-delay:duration rollback-failure-action:string
rollback-max-failure-ratio:list rollback-monitor:duration rollback-order:string
rollback-parallelism:uint secret:list stop-grace-period:duration stop-signal:string
sysctl:list tty,t ulimit:list update-delay:duration update-failure-action:string
update-max-failure-ratio:list update-monitor:duration update-order:string
update-parallelism:uint user,u:string with-registry-auth workdir,w:string`,
  ],
  "service inspect": ["[OPTIONS] SERVICE [SERVICE...]", "format,f:string pretty"],
  "service logs": [
    "[OPTIONS] SERVICE|TASK",
    `details follow,f no-resolve no-task-ids no-trunc raw since:string tail,n:string
timestamps,t`,
  ],
  "service ls": ["[OPTIONS]", "filter,f:filter format:string quiet,q"],
  "service ps": [
    "[OPTIONS] SERVICE [SERVICE...]",
    "filter,f:filter format:string no-resolve no-trunc quiet,q",
  ],
  "service rm": ["SERVICE [SERVICE...]", ""],
  "service rollback": ["[OPTIONS] SERVICE", "detach,d quiet,q"],
  "service scale": ["SERVICE=REPLICAS [SERVICE=REPLICAS...]", "detach,d"],
  "service update": [
    "[OPTIONS] SERVICE",
    `args:list cap-add:list cap-drop:list config-add:list config-rm:list constraint-add:list
constraint-rm:list container-label-add:list container-label-rm:list credential-spec:list
detach,d dns-add:list dns-option-add:list dns-option-rm:list dns-rm:list
dns-search-add:list dns-search-rm:list endpoint-mode:string entrypoint:list env-add:list
env-rm:list force generic-resource-add:list generic-resource-rm:list group-add:list
group-rm:list health-cmd:string health-interval:duration health-retries:int
health-start-interval:duration health-start-period:duration health-timeout:duration
host-add:list host-rm:list hostname:string image:string init isolation:string
label-add:list label-rm:list limit-cpu:decimal limit-memory:bytes limit-pids:int
log-driver:string log-opt:list max-concurrent:uint mount-add:list mount-rm:list
network-add:list network-rm:list no-healthcheck no-resolve-image oom-score-adj:int
placement-pref-add:list placement-pref-rm:list publish-add:list publish-rm:list quiet,q
read-only replicas:uint replicas-max-per-node:uint reserve-cpu:decimal
reserve-memory:bytes restart-condition:string restart-delay:duration
restart-max-attempts:uint restart-window:duration rollback rollback-delay:duration
rollback-failure-action:string rollback-max-failure-ratio:list rollback-monitor:duration
rollback-order:string rollback-parallelism:uint secret-add:list secret-rm:list
stop-grace-period:duration stop-signal:string sysctl-add:list sysctl-rm:list tty,t
ulimit-add:list ulimit-rm:list update-delay:duration update-failure-action:string
update-max-failure-ratio:list update-monitor:duration update-order:string
update-parallelism:uint user,u:string with-registry-auth workdir,w:string`,
  ],
  "stack config": ["[OPTIONS]", "compose-file,c:strings skip-interpolation"],
  "stack deploy": [
    "[OPTIONS] STACK",
    "compose-file,c:strings detach,d prune quiet,q resolve-image:string with-registry-auth",
  ],
  "stack ls": ["[OPTIONS]", "format:string"],
  "stack ps": ["[OPTIONS] STACK", "filter,f:filter format:string no-resolve no-trunc quiet,q"],
  "stack rm": ["[OPTIONS] STACK [STACK...]", "detach,d"],
  "stack services": ["[OPTIONS] STACK", "filter,f:filter format:string quiet,q"],
  "secret create": [
    "[OPTIONS] SECRET [file|-]",
    "driver,d:string label,l:list template-driver:string",
  ],
  "secret inspect": ["[OPTIONS] SECRET [SECRET...]", "format,f:string pretty"],
  "secret ls": ["[OPTIONS]", "filter,f:filter format:string quiet,q"],
  "secret rm": ["SECRET [SECRET...]", ""],
  "config create": ["[OPTIONS] CONFIG file|-", "label,l:list template-driver:string"],
  "config inspect": ["[OPTIONS] CONFIG [CONFIG...]", "format,f:string pretty"],
  "config ls": ["[OPTIONS]", "filter,f:filter format:string quiet,q"],
  "config rm": ["CONFIG [CONFIG...]", ""],
};
