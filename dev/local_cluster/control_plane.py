"""The command lines and configuration files of Kubernetes' own programs and of the cluster's DNS.

Rule: one function per program, nothing is started here; where a setting differs from a usual cluster it says why.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from dev.local_cluster.identities import Identities
from dev.local_cluster.network import CLUSTER_DOMAIN, NODE_IP, POD_RANGE, SERVICE_RANGE
from dev.local_cluster.places import NAME, Places
from dev.local_cluster.ports import Ports

MAX_PODS = 200

Command = list[str | Path]
Settings = Mapping[str, str | Path | int]


def flags(settings: Settings) -> list[str]:
    return [f"--{name}={value}" for name, value in settings.items()]


def etcd(places: Places, ports: Ports) -> Command:
    settings: Settings = {
        "data-dir": places.current / "etcd",
        "listen-client-urls": ports.etcd_url,
        "advertise-client-urls": ports.etcd_url,
        "listen-peer-urls": ports.etcd_peer_url,
        "initial-advertise-peer-urls": ports.etcd_peer_url,
        "initial-cluster": f"default={ports.etcd_peer_url}",
        "log-level": "warn",
    }
    return ["etcd", "--unsafe-no-fsync", *flags(settings)]  # the data of a test cluster need not survive a power cut


def apiserver(programs: Path, made: Identities, ports: Ports) -> Command:
    settings: Settings = {
        "etcd-servers": ports.etcd_url,
        "bind-address": NODE_IP,
        "advertise-address": NODE_IP,
        "secure-port": ports.api,
        "service-cluster-ip-range": SERVICE_RANGE,
        "client-ca-file": made.certificate("ca"),
        "tls-cert-file": made.certificate("kube-apiserver"),
        "tls-private-key-file": made.key("kube-apiserver"),
        "kubelet-client-certificate": made.certificate("apiserver-kubelet-client"),
        "kubelet-client-key": made.key("apiserver-kubelet-client"),
        "kubelet-preferred-address-types": "InternalIP",
        "service-account-issuer": f"https://kubernetes.default.svc.{CLUSTER_DOMAIN}",
        "service-account-key-file": made.folder / "service-accounts.pub",
        "service-account-signing-key-file": made.key("service-accounts"),
        "authorization-mode": "Node,RBAC",
    }
    return [programs / "kube-apiserver", *flags(settings)]


def controller_manager(programs: Path, made: Identities, ports: Ports) -> Command:
    settings: Settings = {
        "kubeconfig": made.kubeconfig("kube-controller-manager"),
        "bind-address": "127.0.0.1",
        "secure-port": ports.health("kube-controller-manager"),
        "leader-elect": "false",
        "root-ca-file": made.certificate("ca"),
        "service-account-private-key-file": made.key("service-accounts"),
        "use-service-account-credentials": "true",  # the roles of the single controllers exist, one for all does not
    }
    return [programs / "kube-controller-manager", *flags(settings)]


def scheduler(programs: Path, made: Identities, ports: Ports) -> Command:
    settings: Settings = {
        "kubeconfig": made.kubeconfig("kube-scheduler"),
        "bind-address": "127.0.0.1",
        "secure-port": ports.health("kube-scheduler"),
        "leader-elect": "false",
    }
    return [programs / "kube-scheduler", *flags(settings)]


def kubelet(programs: Path, made: Identities, places: Places, ports: Ports) -> Command:
    folder = places.current.resolve() / "kubelet"
    config = places.current / "kubelet.json"
    config.write_text(json.dumps(kubelet_configuration(made, places, ports, folder), indent=2))
    settings: Settings = {
        "config": config,
        "kubeconfig": made.kubeconfig("kubelet"),
        "hostname-override": NAME,
        "node-ip": NODE_IP,
        "root-dir": folder,
        "cert-dir": folder / "pki",
    }
    return [programs / "kubelet", *flags(settings)]


def kubelet_configuration(made: Identities, places: Places, ports: Ports, folder: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_IP,
        "port": ports.kubelet,
        "healthzPort": ports.health("kubelet"),
        "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": str(made.certificate("ca"))}},
        "containerRuntimeEndpoint": f"unix://{places.containerd_socket}",
        "clusterDomain": CLUSTER_DOMAIN,
        "clusterDNS": [NODE_IP],
        "resolvConf": "",  # the machine's search domains are not the pods' business
        "maxPods": MAX_PODS,
        "podLogsDir": str(folder / "pod-logs"),
        "volumePluginDir": str(folder / "volume-plugins"),
        # Both cgroup versions, and machines where the kubelet may not arrange cgroups of its own.
        "failCgroupV1": False,
        "failSwapOn": False,
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "makeIPTablesUtilChains": False,
        # No registry brings an image back here: never remove one to gain space.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "200Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        # A test that kills a container waits for its restart: not up to five minutes.
        "crashLoopBackOff": {"maxContainerRestartPeriod": "10s"},
    }


def proxy(programs: Path, made: Identities, places: Places, ports: Ports) -> Command:
    config = places.current / "kube-proxy.json"
    settings = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": NAME,
        "clusterCIDR": POD_RANGE,
        "clientConnection": {"kubeconfig": str(made.kubeconfig("kube-proxy"))},
        "healthzBindAddress": f"127.0.0.1:{ports.health('kube-proxy')}",
        "metricsBindAddress": f"127.0.0.1:{ports.kube_proxy_metrics}",
        "conntrack": {"maxPerCore": 0, "min": 0},  # some machines do not let these be set
    }
    config.write_text(json.dumps(settings, indent=2))
    return [programs / "kube-proxy", f"--config={config}"]


def coredns(programs: Path, made: Identities, places: Places, ports: Ports) -> Command:
    """Names outside the cluster do not exist: pods here have no way out anyway, and a quick no beats a timeout."""
    corefile = places.current / "Corefile"
    corefile.write_text(f"""{CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
    bind {NODE_IP}
    errors
    ready 127.0.0.1:{ports.health("coredns")}
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {made.kubeconfig("coredns")}
        ttl 5
    }}
}}
. {{
    bind {NODE_IP}
    errors
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
""")
    return [programs / "coredns", "-conf", corefile]
