"""What has to hold for whatever values the chart is rendered with."""

import json
import re
import sys
import unittest

from rendered import CHART, Refused, from_yaml, helm, of_kind, only, render

ROOT = CHART.parent.parent
ALL_OPTIONS = {
    "replicas": 3,
    "image": {"repository": "registry.example/team/accord", "digest": "sha256:" + "a" * 64, "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "registry"}],
    "images": {"postgres": "registry.example/postgres:17", "valkey": "registry.example/valkey:8"},
    "watchNamespaces": ["shop", "forum"],
    "logging": {"level": "info,kube=warn", "format": "text"},
    "serviceAccount": {"name": "robot", "annotations": {"example.com/role": "r"}},
    "priorityClass": {"create": False, "name": "system-cluster-critical"},
    "podDisruptionBudget": {"maxUnavailable": "50%"},
    "runAsUser": None,
    "resources": {"limits": {"cpu": 1, "memory": "1Gi"}},
    "podLabels": {"team": "identity", "app.kubernetes.io/name": "stolen"},
    "podAnnotations": {"example.com/a": "b"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": []}]}}},
    "monitoring": {"serviceMonitor": {"enabled": True, "interval": "1m", "labels": {"release": "prometheus"}}, "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}}, "dashboard": {"enabled": True}},
}
NOTHING_CLUSTER_WIDE = {
    "watchNamespaces": ["shop"],
    "crds": {"install": False},
    "podStatusPolicy": {"install": False},
    "aggregateRoles": False,
    "priorityClass": {"create": False},
}
VARIANTS = {
    "default": {},
    "watchNamespaces": {"watchNamespaces": ["shop", "forum"]},
    "all options": ALL_OPTIONS,
    "nothing cluster-wide": NOTHING_CLUSTER_WIDE,
}
CLUSTER_WIDE = {
    "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "PriorityClass",
    "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
}


def rights(rules):
    """Rules as a set of (group, resource, verb), one for each single right."""
    return {(group, resource, verb) for rule in rules for group in rule["apiGroups"] for resource in rule["resources"] for verb in rule["verbs"]}


def bound_roles(objects):
    """The roles that the operator's account holds: binding's namespace (None: everywhere) and rules."""
    account = only(objects, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
    held = []
    for binding in of_kind(objects, "RoleBinding") + of_kind(objects, "ClusterRoleBinding"):
        if {"kind": "ServiceAccount", "name": account, "namespace": "accord-system"} in binding["subjects"]:
            namespace = binding["metadata"].get("namespace")
            ref = binding["roleRef"]
            role = objects[(ref["kind"], ref["name"], namespace if ref["kind"] == "Role" else None)]
            held.append((namespace, role["rules"]))
    return held


def documented(heading):
    """The rights that a section's table in operator/docs/rights.md lists, and the reasons."""
    text = (ROOT / "operator/docs/rights.md").read_text()
    section = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")][2:]
    table = set()
    for group, resource, verbs, reason in rows:
        assert len(reason) > 20, f"no reason for {resource}"
        new = {("" if group == "core" else group, resource, verb.strip()) for verb in verbs.split(",")}
        assert not table & new, f"{resource} is listed twice"
        table |= new
    return table


class EveryVariant(unittest.TestCase):
    """Facts that no value may change."""

    @classmethod
    def setUpClass(cls):
        cls.variants = {name: render(values=values) for name, values in VARIANTS.items()}

    def test_no_right_is_a_wildcard_or_gives_others_away(self):
        for name, objects in self.variants.items():
            with self.subTest(values=name):
                roles = of_kind(objects, "Role") + of_kind(objects, "ClusterRole")
                self.assertTrue(roles)
                for role in roles:
                    for rule in role["rules"]:
                        self.assertNotIn("nonResourceURLs", rule)
                        for right in rights([rule]):
                            self.assertFalse(any("*" in part for part in right), right)
                            self.assertNotIn(right[2], {"escalate", "bind", "impersonate"}, right)
                            self.assertNotEqual(right[0], "rbac.authorization.k8s.io", right)

    def test_what_cannot_be_made_again_cannot_be_deleted(self):
        for name, objects in self.variants.items():
            with self.subTest(values=name):
                held = set().union(*(rights(rules) for _, rules in bound_roles(objects)))
                for resource in ("secrets", "configmaps", "persistentvolumeclaims", "pods"):
                    self.assertIn(("", resource, "list"), held)
                    self.assertNotIn(("", resource, "delete"), held)
                self.assertNotIn(("", "persistentvolumeclaims", "create"), held)
                self.assertNotIn(("", "pods", "create"), held)
                self.assertNotIn(("", "pods", "patch"), held)
                self.assertNotIn(("", "pods/exec", "create"), held)
                self.assertNotIn(("accord.dev", "authservices", "create"), held)
                self.assertNotIn(("accord.dev", "authservices", "delete"), held)

    def test_rights_are_the_documented_ones(self):
        served, own = documented("Where AuthServices are served"), documented("In Accord's own namespace")
        for name, objects in self.variants.items():
            with self.subTest(values=name):
                for namespace, rules in bound_roles(objects):
                    expected = own if namespace == "accord-system" else served
                    self.assertEqual(rights(rules), expected, f"operator/docs/rights.md and the role in {namespace or 'the cluster'} differ")

    def test_who_only_observes_may_write_nothing_else(self):
        documented_ones = documented("Where Accord only observes")
        for namespaces in ([], ["shop"]):
            objects = render(values={"observeOnly": True, "watchNamespaces": namespaces})
            self.assertEqual(env(objects)["ACCORD_OBSERVE_ONLY"], "true")
            for namespace, rules in bound_roles(objects):
                if namespace != "accord-system":
                    self.assertEqual(rights(rules), documented_ones)
            writes = {right for right in documented_ones if right[2] not in {"get", "list", "watch"}}
            self.assertEqual(writes, {("accord.dev", "authservices/status", "patch"), ("events.k8s.io", "events", "create")})
            self.assertEqual(of_kind(objects, "ValidatingAdmissionPolicy"), [], "there is no right to hold down")

    def test_lease_rights_are_bound_to_the_lease(self):
        for name, objects in self.variants.items():
            with self.subTest(values=name):
                rules = [rules for namespace, rules in bound_roles(objects) if namespace == "accord-system"][0]
                lease = env(objects)["ACCORD_LEASE_NAME"]
                for rule in rules:
                    self.assertEqual(rule.get("resourceNames"), None if rule["verbs"] == ["create"] else [lease])

    def test_pods_pass_the_restricted_standard(self):
        for name, objects in self.variants.items():
            with self.subTest(values=name):
                pods = [only(objects, "Deployment")["spec"]["template"]["spec"], only(objects, "Pod")["spec"]]
                for pod in pods:
                    context = pod["securityContext"]
                    self.assertIs(context["runAsNonRoot"], True)
                    self.assertEqual(context["seccompProfile"], {"type": "RuntimeDefault"})
                    self.assertNotEqual(context.get("runAsUser"), 0)
                    self.assertFalse({"hostNetwork", "hostPID", "hostIPC", "volumes"} & pod.keys())
                    for container in pod["containers"]:
                        self.assertEqual(container["securityContext"], {
                            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}})
                        self.assertIn("memory", container["resources"]["limits"])

    def test_selectors_meet_the_operators_pods_only(self):
        for name, objects in self.variants.items():
            with self.subTest(values=name):
                template = only(objects, "Deployment")["spec"]["template"]
                selectors = [only(objects, "Deployment")["spec"]["selector"]["matchLabels"], only(objects, "Service")["spec"]["selector"],
                             only(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"]]
                selectors += [c["labelSelector"]["matchLabels"] for c in template["spec"]["topologySpreadConstraints"]]
                for selector in selectors:
                    self.assertLessEqual(selector.items(), template["metadata"]["labels"].items())
                    self.assertFalse(selector.items() <= only(objects, "Pod")["metadata"]["labels"].items(), "the test's pod is selected too")

    def test_names_and_labels_are_valid(self):
        for name, objects in self.variants.items():
            with self.subTest(values=name):
                for (kind, called, namespace), value in objects.items():
                    self.assertEqual(namespace is None, kind in CLUSTER_WIDE, f"{kind} {called} in {namespace}")
                    self.assertLessEqual(len(called), 253)
                    for key, label in value["metadata"]["labels"].items():
                        self.assertRegex(label, r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$", f"{kind} {called}: {key}")


class Default(unittest.TestCase):
    """A plain `helm install`."""

    @classmethod
    def setUpClass(cls):
        cls.objects = render()
        cls.pod = only(cls.objects, "Deployment")["spec"]["template"]["spec"]

    def test_crd_is_the_generated_one_and_kept(self):
        generated = (ROOT / "crds/generated/authservices.accord.dev.yaml").read_text()
        self.assertEqual((CHART / "files/authservices.accord.dev.yaml").read_text(), generated,
                         "charts/accord/files is not a copy of crds/generated: run `cargo xtask gen`")
        crd = only(self.objects, "CustomResourceDefinition")
        self.assertEqual(crd["metadata"]["annotations"]["helm.sh/resource-policy"], "keep")
        expected = from_yaml([generated])[0]
        for part in ("apiVersion", "kind", "spec"):
            self.assertEqual(crd[part], expected[part])
        self.assertEqual(crd["metadata"]["name"], expected["metadata"]["name"])

    def test_two_replicas_spread_over_nodes_and_zones(self):
        self.assertEqual(only(self.objects, "Deployment")["spec"]["replicas"], 2)
        spread = self.pod["topologySpreadConstraints"]
        self.assertEqual([c["topologyKey"] for c in spread], ["kubernetes.io/hostname", "topology.kubernetes.io/zone"])
        self.assertTrue(all(c["whenUnsatisfiable"] == "ScheduleAnyway" for c in spread))

    def test_a_drain_goes_on(self):
        spec = only(self.objects, "PodDisruptionBudget")["spec"]
        self.assertEqual((spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"]), (1, "AlwaysAllow"))

    def test_priority_class_is_its_own(self):
        made = only(self.objects, "PriorityClass")
        self.assertEqual(self.pod["priorityClassName"], made["metadata"]["name"])
        self.assertGreater(made["value"], 0)

    def test_probes_and_ports(self):
        container = self.pod["containers"][0]
        self.assertEqual(container["ports"], [{"name": "http", "containerPort": 8080, "protocol": "TCP"}])
        self.assertEqual(container["livenessProbe"]["httpGet"], {"path": "/healthz", "port": "http"})
        self.assertEqual(container["readinessProbe"]["httpGet"], {"path": "/readyz", "port": "http"})
        self.assertEqual(only(self.objects, "Service")["spec"]["ports"][0]["targetPort"], "http")

    def test_environment(self):
        self.assertEqual(env(self.objects), {
            "POD_NAME": "metadata.name",
            "POD_NAMESPACE": "metadata.namespace",
            "ACCORD_LEASE_NAME": "accord",
            "ACCORD_WATCH_NAMESPACES": "",
            "ACCORD_OPERATOR_IMAGE": "ghcr.io/accord-dev/accord-operator:" + app_version(),
            "ACCORD_OPERATOR_IMAGE_PULL_POLICY": "IfNotPresent",
            "ACCORD_POSTGRES_IMAGE": "docker.io/library/postgres:17",
            "ACCORD_VALKEY_IMAGE": "docker.io/valkey/valkey:8",
            "ACCORD_HTTP_ADDR": "0.0.0.0:8080",
            "ACCORD_LOG_FORMAT": "json",
            "RUST_LOG": "info",
        })

    def test_account_token_goes_to_the_operator_only(self):
        self.assertIs(only(self.objects, "ServiceAccount")["automountServiceAccountToken"], False)
        self.assertIs(self.pod["automountServiceAccountToken"], True)
        self.assertIs(only(self.objects, "Pod")["spec"]["automountServiceAccountToken"], False)

    def test_no_monitor_without_its_crd(self):
        self.assertEqual(of_kind(self.objects, "ServiceMonitor"), [])

    def test_test_pod_asks_the_service(self):
        pod = only(self.objects, "Pod")
        self.assertEqual(pod["metadata"]["annotations"]["helm.sh/hook"], "test")
        container = pod["spec"]["containers"][0]
        self.assertEqual(container["image"], self.pod["containers"][0]["image"])
        self.assertEqual(container["args"], ["check", "--url", "http://accord.accord-system.svc:8080/readyz"])

    def test_people_do_not_get_accords_rights(self):
        for role in of_kind(self.objects, "ClusterRole"):
            if any(label.startswith("rbac.authorization.k8s.io/aggregate") for label in role["metadata"]["labels"]):
                self.assertEqual({group for group, _, _ in rights(role["rules"])}, {"accord.dev"})
                self.assertNotIn("authservices/status", {resource for _, resource, verb in rights(role["rules"]) if verb != "get" and verb != "list" and verb != "watch"})


class PodStatusPolicy(unittest.TestCase):
    """The policy's shape; vap.sh shows on a real API server what it does."""

    def test_binds_the_operators_account(self):
        for values in ({}, ALL_OPTIONS):
            objects = render(values=values)
            policy, binding = only(objects, "ValidatingAdmissionPolicy"), only(objects, "ValidatingAdmissionPolicyBinding")
            account = only(objects, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
            self.assertEqual(policy["spec"]["failurePolicy"], "Fail")
            self.assertEqual([c["expression"] for c in policy["spec"]["matchConditions"]],
                             [f"request.userInfo.username == 'system:serviceaccount:accord-system:{account}'"])
            self.assertEqual(policy["spec"]["matchConstraints"]["resourceRules"],
                             [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["pods/status"]}])
            self.assertEqual(binding["spec"], {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]})

    def test_every_refusal_has_words(self):
        for validation in only(render(), "ValidatingAdmissionPolicy")["spec"]["validations"]:
            self.assertTrue(validation["message"].startswith("Accord may change "), validation)


class WatchNamespaces(unittest.TestCase):
    """Accord in some namespaces only."""

    def test_rights_end_at_the_namespaces(self):
        objects = render(values={"watchNamespaces": ["shop", "forum"]})
        self.assertEqual({namespace for namespace, _ in bound_roles(objects)}, {"shop", "forum", "accord-system"})
        self.assertEqual(of_kind(objects, "ClusterRoleBinding"), [])
        self.assertEqual(env(objects)["ACCORD_WATCH_NAMESPACES"], "shop,forum")

    def test_own_namespace_can_be_watched_too(self):
        objects = render(values={"watchNamespaces": ["accord-system"]})
        self.assertEqual(len([1 for namespace, _ in bound_roles(objects) if namespace == "accord-system"]), 2)

    def test_can_be_installed_without_rights_on_the_cluster(self):
        self.assertFalse({kind for kind, _, _ in render(values=NOTHING_CLUSTER_WIDE)} & CLUSTER_WIDE)

    def test_two_releases_of_one_name_do_not_meet(self):
        one, other = (render(namespace=n, values={"crds": {"install": False}, "watchNamespaces": ["shop"]}) for n in ("a", "b"))
        self.assertEqual(one.keys() & other.keys(), set())


class AllOptions(unittest.TestCase):
    """Every value arrives where it belongs."""

    def test_values_arrive(self):
        objects = render(values=ALL_OPTIONS)
        template = only(objects, "Deployment")["spec"]["template"]
        pod, image = template["spec"], "registry.example/team/accord@sha256:" + "a" * 64
        self.assertEqual(only(objects, "Deployment")["spec"]["replicas"], 3)
        self.assertEqual((pod["containers"][0]["image"], pod["containers"][0]["imagePullPolicy"]), (image, "Always"))
        self.assertEqual(pod["imagePullSecrets"], [{"name": "registry"}])
        self.assertNotIn("runAsUser", pod["securityContext"])
        self.assertEqual(pod["priorityClassName"], "system-cluster-critical")
        self.assertEqual(pod["containers"][0]["resources"]["limits"], {"cpu": 1, "memory": "1Gi"})
        self.assertEqual(template["metadata"]["labels"]["team"], "identity")
        self.assertEqual(template["metadata"]["labels"]["app.kubernetes.io/name"], "accord", "the chart's own labels win")
        self.assertEqual(template["metadata"]["annotations"]["example.com/a"], "b")
        for key in ("nodeSelector", "tolerations", "affinity"):
            self.assertEqual(pod[key], ALL_OPTIONS[key])
        account = only(objects, "ServiceAccount")
        self.assertEqual((account["metadata"]["name"], account["metadata"]["annotations"]), ("robot", {"example.com/role": "r"}))
        self.assertEqual(pod["serviceAccountName"], "robot")
        self.assertEqual(only(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"], "50%")
        monitor = only(objects, "ServiceMonitor")
        self.assertEqual(monitor["metadata"]["labels"]["release"], "prometheus")
        self.assertEqual(monitor["spec"]["endpoints"], [{"port": "http", "path": "/metrics", "interval": "1m"}])
        self.assertEqual(only(objects, "PrometheusRule")["metadata"]["labels"]["release"], "prometheus")
        self.assertEqual({key: value for key, value in env(objects).items() if key.startswith("ACCORD_") or key == "RUST_LOG"}, {
            "ACCORD_LEASE_NAME": "accord",
            "ACCORD_WATCH_NAMESPACES": "shop,forum",
            "ACCORD_OPERATOR_IMAGE": image,
            "ACCORD_OPERATOR_IMAGE_PULL_POLICY": "Always",
            "ACCORD_POSTGRES_IMAGE": "registry.example/postgres:17",
            "ACCORD_VALKEY_IMAGE": "registry.example/valkey:8",
            "ACCORD_HTTP_ADDR": "0.0.0.0:8080",
            "ACCORD_LOG_FORMAT": "text",
            "RUST_LOG": "info,kube=warn",
        })

    def test_rules_and_dashboard_use_metrics_that_there_are(self):
        """What no metric feeds never fires and shows nothing."""
        code = "".join(path.read_text() for path in sorted((ROOT / "operator/src").glob("metrics*")) + sorted((ROOT / "operator/src/metrics").glob("*.rs")) if path.is_file())
        known = {"accord_" + name for name in re.findall(r'register(?:_with_unit)?\(\s*"([a-z_]+)"', code)}
        self.assertIn("accord_leader", known)
        objects = render(values=ALL_OPTIONS)
        alerts = [rule for group in only(objects, "PrometheusRule")["spec"]["groups"] for rule in group["rules"]]
        panels = json.loads(only(objects, "ConfigMap")["data"]["accord.json"])["panels"]
        queries = [rule["expr"] for rule in alerts] + [target["expr"] for panel in panels for target in panel["targets"]]
        self.assertGreater(len(queries), 15)
        for query in queries:
            for name in re.findall(r"accord_[a-z_]+", query):
                self.assertIn(re.sub(r"(_seconds)?(_bucket|_total)?$", "", name), known, query)
        for rule in alerts:
            self.assertTrue(rule["annotations"]["summary"], rule)
            for text in rule["annotations"].values():
                self.assertEqual(text.count("{{"), text.count("$labels"), text)

    def test_long_release_names_stay_within_bounds(self):
        release = "a" * 53
        for _, name, _ in render(release=release):
            self.assertLessEqual(len(name.split(".")[0]), 63)


class Values(unittest.TestCase):
    """The schema refuses what would be ignored or break later."""

    def refused(self, values, *words):
        with self.assertRaises(Refused) as caught:
            render(values=values)
        for word in words:
            self.assertIn(word, str(caught.exception))

    def test_unknown_keys(self):
        self.refused({"repliacs": 3}, "repliacs", "not allowed")
        self.refused({"image": {"name": "x"}}, "/image", "'name' not allowed")
        self.refused({"monitoring": {"serviceMonitor": {"enable": True}}}, "/monitoring/serviceMonitor", "'enable' not allowed")

    def test_wrong_types(self):
        self.refused({"replicas": "two"}, "/replicas", "got string, want integer")
        self.refused({"watchNamespaces": "shop,forum"}, "/watchNamespaces", "got string, want array")
        self.refused({"crds": {"install": "yes"}}, "/crds/install", "got string, want boolean")

    def test_wrong_values(self):
        self.refused({"logging": {"format": "xml"}}, "/logging/format", "'json', 'text'")
        self.refused({"watchNamespaces": ["Shop_1"]}, "/watchNamespaces/0")
        self.refused({"runAsUser": 0}, "/runAsUser")
        self.refused({"image": {"tag": "1.0@sha256:abc"}}, "/image/tag")
        self.refused({"priorityClass": {"value": 2000000000}}, "/priorityClass/value")

    def test_account_needs_a_name(self):
        self.refused({"serviceAccount": {"create": False}}, "serviceAccount.name is empty")

    def test_every_default_is_in_the_schema_and_documented(self):
        values = (CHART / "values.yaml").read_text()
        schema = from_yaml([(CHART / "values.schema.json").read_text()])[0]
        default = from_yaml([values])[0]
        self.assertEqual(schema["properties"].keys() - {"global"}, default.keys())
        for line in values.splitlines():
            if match := re.match(r"(\w+):", line):
                self.assertIn(match[1], schema["properties"])


class Notes(unittest.TestCase):
    """What the user reads after `helm install`."""

    def notes(self, values):
        args = [f"--set-json={key}={value}" for key, value in values.items()]
        return helm("install", "accord", CHART, "-n", "accord-system", "--dry-run=client", "--hide-secret", *args).split("NOTES:\n", 1)[1]

    def test_next_command(self):
        notes = self.notes({})
        self.assertIn("kubectl -n accord-system rollout status deployment/accord", notes)
        self.assertIn("kubectl get auth login -w", notes)
        self.assertNotIn("WARNING", notes)

    def test_warnings(self):
        notes = self.notes({"replicas": "1", "podStatusPolicy": '{"install":false}', "watchNamespaces": '["shop"]'})
        self.assertIn("WARNING: replicas is 1", notes)
        self.assertIn("WARNING: podStatusPolicy.install is false", notes)
        self.assertIn("kubectl get auth -n shop login -w", notes)


def env(objects):
    """The operator's environment; for downward values the field's path."""
    container = only(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    return {e["name"]: e["value"] if "value" in e else e["valueFrom"]["fieldRef"]["fieldPath"] for e in container["env"]}


def app_version():
    """The chart's appVersion."""
    return from_yaml([(CHART / "Chart.yaml").read_text()])[0]["appVersion"]


if __name__ == "__main__":
    result = unittest.main(exit=False, argv=[sys.argv[0], *sys.argv[1:]]).result
    failed = len({test.id() for test, _ in result.failures + result.errors})
    print(f"chart: {result.testsRun - failed} passed, {failed} failed")
    sys.exit(failed > 0 or result.testsRun == 0)
