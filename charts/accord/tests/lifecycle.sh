#!/usr/bin/env bash
# Shows on a real API server that the chart installs, that its CRD is upgraded with it, kept on uninstall and taken over by the next
# install, and that all else goes.
#
# Uses the cluster of KUBECONFIG, two namespaces of its own, and a copy of the chart whose CRD is in a group of its own, so that it can run
# beside an Accord that is at work. Removes all it made. KUBECTL and HELM default to kubectl and helm.
set -euo pipefail
cd "$(dirname "$0")"
HELM=${HELM:-helm}
KUBECTL=${KUBECTL:-kubectl}
for tool in "$HELM" "$KUBECTL"; do
  command -v "$tool" >/dev/null || { echo "lifecycle: '$tool' not found; set HELM and KUBECTL." >&2; exit 2; }
done
: "${KUBECONFIG:?lifecycle: names the cluster to try the chart on, for example by: eval \"\$(cargo xtask cluster env)\"}"

ns=accord-chart-$$
watched=$ns-watched
group=accord-chart-$$.example.com
crd=authservices.$group
account=system:serviceaccount:$ns:accord
copy=$(mktemp -d)
passed=0 failed=0

k() { "$KUBECTL" --request-timeout=20s "$@"; }
# No pods: what they do is shown elsewhere.
release() { "$HELM" "$1" "$2" "$copy/accord" -n "$ns" --set replicas=0 "${@:3}" 2>&1; }
check() { # check WORDS COMMAND…
  local words=$1 said
  shift
  if said=$("$@" 2>&1); then
    passed=$((passed + 1))
    echo "  ok    $words"
  else
    failed=$((failed + 1))
    printf '  FAIL  %s\n        %s\n' "$words" "$said" >&2
  fi
}
refused() { ! "$@"; }
may() { [ "$(k auth can-i "$@" --as="$account" 2>/dev/null)" = yes ]; }
left() { k get clusterroles,clusterrolebindings,priorityclasses,validatingadmissionpolicies,validatingadmissionpolicybindings -o name | grep -F "$ns" || true; }
none_left() { local found; found=$(left) && echo "$found" && [ -z "$found" ]; }
own_gone() { local found; found=$(k get deployments,services,roles,rolebindings,poddisruptionbudgets -n "$ns" -o name) && echo "$found" && [ -z "$found" ]; }
# The API server warns of a pod template that the Pod Security Standard of the namespace wouldn't admit, and Helm prints it.
installs_without_warning() { local said; said=$(release install accord) && echo "$said" && [[ $said != *"would violate PodSecurity"* ]]; }
describes() { k get crd "$crd" -o 'jsonpath={.spec.versions[0].schema.openAPIV3Schema.description}' | grep -Fx "$1"; }

cleanup() {
  status=$?
  trap - EXIT
  "$HELM" uninstall accord -n "$ns" --ignore-not-found >/dev/null 2>&1 || true
  left | xargs -r "$KUBECTL" delete --wait=false >/dev/null 2>&1 || true
  k delete crd "$crd" --ignore-not-found --wait=false >/dev/null 2>&1 || true
  k delete namespace "$ns" "$watched" --ignore-not-found --wait=false >/dev/null 2>&1 || true
  rm -rf "$copy"
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

cp -r .. "$copy/accord"
sed -i -e "s/^  name: authservices\.accord\.dev$/  name: $crd/" -e "s/^  group: accord\.dev$/  group: $group/" "$copy/accord/files/authservices.accord.dev.yaml"
k create namespace "$ns" >/dev/null
k label namespace "$ns" pod-security.kubernetes.io/warn=restricted >/dev/null
k create namespace "$watched" >/dev/null

echo "Install:"
check "it renders against the API server" release install accord --dry-run=server
check "it installs, its pods within the restricted standard" installs_without_warning
check "the CRD is served" k wait crd "$crd" --for=condition=Established --timeout=30s
check "an AuthService is accepted" k create -n "$watched" -f - <<SERVICE
apiVersion: $group/v1alpha1
kind: AuthService
metadata: {name: login}
spec:
  framework: Django
  image: registry.example/login:1.4.2
  hostnames: [login.example.com]
  replicas: 3
  database: {managed: {}}
  cache: {managed: {}}
SERVICE
check "the policy's expressions fit the types" bash -c "[ -z \"\$('$KUBECTL' get validatingadmissionpolicy accord.$ns.pod-status -o 'jsonpath={.status.typeChecking.expressionWarnings}')\" ]"
check "Accord may read Secrets anywhere" may get secrets -n "$watched"
check "Accord may not delete Secrets" refused may delete secrets -n "$watched"
check "Accord may not delete claims" refused may delete persistentvolumeclaims -n "$watched"
check "Accord may use its own Lease" may update leases/accord -n "$ns"
check "Accord may not use another's" refused may update leases/other -n "$ns"

echo "Upgrade:"
sed -i "s/^        description: An auth service whose replicas.*/        description: Newer words./" "$copy/accord/files/authservices.accord.dev.yaml"
check "it upgrades, to one namespace" release upgrade accord --set "watchNamespaces={$watched}"
check "the CRD is the newer one" describes "Newer words."
check "Accord may read Secrets there" may get secrets -n "$watched"
check "Accord may not read Secrets elsewhere" refused may get secrets -n default

echo "Uninstall:"
check "it uninstalls" "$HELM" uninstall accord -n "$ns"
check "the AuthService is still there" k get "$crd" login -n "$watched"
check "nothing else is left in the cluster" none_left
check "nothing else is left in the namespace" own_gone

echo "Install again:"
check "it takes the CRD over" release install accord
check "the AuthService is still there" k get "$crd" login -n "$watched"

echo "lifecycle: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
