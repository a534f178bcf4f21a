"""Certificates of the cluster's programs and the kubeconfig files that hold them, fresh at every start.

Rule: keys are readable by root only and never leave the folder of their start.
"""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from dev.local_cluster.network import CLUSTER_DOMAIN, KUBERNETES_SERVICE_IP, NODE_IP
from dev.local_cluster.places import NAME
from dev.local_cluster.programs import run

DAYS = "3650"
OPENSSL_CONFIG = "[req]\ndistinguished_name = name\n[name]\n"
API_NAMES = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{CLUSTER_DOMAIN}"]
SUBJECTS = {  # file name: subject
    "admin": "/O=system:masters/CN=workqueue-local-admin",
    "apiserver-kubelet-client": "/O=system:masters/CN=kube-apiserver-kubelet-client",
    "kube-controller-manager": "/CN=system:kube-controller-manager",
    "kube-scheduler": "/CN=system:kube-scheduler",
    "kube-proxy": "/CN=system:kube-proxy",
    "kubelet": f"/O=system:nodes/CN=system:node:{NAME}",
    "coredns": "/O=system:masters/CN=coredns",
}


@dataclass(frozen=True)
class Identities:
    """A folder with NAME.crt, NAME.key and NAME.kubeconfig for each identity. `api_url`: where the kubeconfigs lead."""

    folder: Path
    api_url: str

    def certificate(self, name: str) -> Path:
        return self.folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def kubeconfig(self, name: str) -> Path:
        return self.folder / f"{name}.kubeconfig"


def create_identities(folder: Path, api_url: str) -> Identities:
    folder.mkdir(mode=0o700)
    (folder / "openssl.cnf").write_text(OPENSSL_CONFIG)
    made = Identities(folder, api_url)
    issue(made, "ca", "/CN=workqueue-local-ca", ["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign"])
    addresses = [f"IP:{ip}" for ip in (NODE_IP, KUBERNETES_SERVICE_IP, "127.0.0.1")]
    names = ",".join([*addresses, *(f"DNS:{name}" for name in API_NAMES)])
    issue(made, "kube-apiserver", "/CN=kube-apiserver", [f"subjectAltName={names}", "extendedKeyUsage=serverAuth"])
    for name, subject in SUBJECTS.items():
        issue(made, name, subject, ["extendedKeyUsage=clientAuth"])
        write_kubeconfig(made, name, made.kubeconfig(name))
    service_accounts = made.key("service-accounts")
    run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", service_accounts])
    run(["openssl", "ec", "-in", service_accounts, "-pubout", "-out", folder / "service-accounts.pub"])
    return made


def issue(made: Identities, name: str, subject: str, extensions: list[str]) -> None:
    command: list[str | Path] = ["openssl", "req", "-x509", "-config", made.folder / "openssl.cnf", "-days", DAYS]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", made.key(name)]
    if name != "ca":
        command += ["-CA", made.certificate("ca"), "-CAkey", made.key("ca")]
    for extension in extensions:
        command += ["-addext", extension]
    run([*command, "-subj", subject, "-out", made.certificate(name)])


def write_kubeconfig(made: Identities, name: str, path: Path) -> None:
    """JSON is YAML, so this needs no library."""
    user = {"client-certificate-data": encoded(made.certificate(name)), "client-key-data": encoded(made.key(name))}
    cluster = {"server": made.api_url, "certificate-authority-data": encoded(made.certificate("ca"))}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": NAME,
        "clusters": [{"name": NAME, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": name}}],
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(document, indent=2))


def encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
