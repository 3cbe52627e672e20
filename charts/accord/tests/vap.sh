#!/usr/bin/env bash
# Shows on a real API server that the policy on pods/status leaves Accord's account one condition and nothing else.
#
# Uses the cluster of KUBECONFIG, a namespace of its own, and removes all it made. KUBECTL and HELM default to kubectl and helm; the caller
# has to be an administrator who may impersonate. The pods are held before scheduling, so that no scheduler and no kubelet writes their
# status: what differs, this did.
#
# Each forbidden change is tried twice: before the policy is installed it has to succeed (so it's neither RBAC nor validation that refuses
# it), and afterwards it has to fail with the policy's own words.
set -euo pipefail
cd "$(dirname "$0")"
HELM=${HELM:-helm}
KUBECTL=${KUBECTL:-kubectl}
for tool in "$HELM" "$KUBECTL"; do
  command -v "$tool" >/dev/null || { echo "vap: '$tool' not found; set HELM and KUBECTL." >&2; exit 2; }
done
: "${KUBECONFIG:?vap: names the cluster to try the policy on, for example by: eval \"\$(cargo xtask cluster env)\"}"

ns=accord-vap-$$
policy=accord.$ns.pod-status
account=system:serviceaccount:$ns:accord
passed=0 failed=0

k() { "$KUBECTL" --request-timeout=20s "$@"; }

cleanup() {
  status=$?
  trap - EXIT
  chart podstatuspolicy | k delete --ignore-not-found --wait=false -f - >/dev/null 2>&1 || true
  k delete namespace "$ns" --ignore-not-found --wait=false >/dev/null 2>&1 || true
  exit "$status"
}

# Renders one template of the chart, as a release in the namespace of this test.
chart() { "$HELM" template accord .. -n "$ns" --set "watchNamespaces={$ns}" -s "templates/$1.yaml"; }

ok() { passed=$((passed + 1)); echo "  ok    $1"; }
bad() { failed=$((failed + 1)); echo "  FAIL  $1" >&2; [ $# -lt 2 ] || echo "        $2" >&2; }

# as_accord POD TYPE PATCH [FLAG…]: patches a pod's status as Accord's account.
as_accord() {
  local pod=$1 type=$2 patch=$3
  shift 3
  k patch pod "$pod" -n "$ns" --as="$account" --subresource=status --type="$type" -p "$patch" "$@" 2>&1
}

# What Accord must not do: words that the refusal has to contain | pod | patch type | patch
mapfile -t forbidden <<'CASES'
metadata.labels|own|strategic|{"metadata":{"labels":{"app":"elsewhere"}}}
metadata.labels|own|strategic|{"metadata":{"labels":{"accord.dev/service":null}}}
metadata.labels|own|strategic|{"metadata":{"labels":{"accord.dev/service":"other"}},"status":{"conditions":[{"type":"accord.dev/agrees","status":"True"}]}}
metadata.annotations|own|strategic|{"metadata":{"annotations":{"a":"b"}}}
metadata.finalizers|own|strategic|{"metadata":{"finalizers":["example.com/stuck"]}}
status.podIP|own|merge|{"status":{"podIP":"10.9.9.9","podIPs":[{"ip":"10.9.9.9"}]}}
status.podIPs|own|json|[{"op":"add","path":"/status/podIPs/-","value":{"ip":"fd00::9"}}]
status.hostIP|own|merge|{"status":{"hostIP":"10.9.9.8","hostIPs":[{"ip":"10.9.9.8"}]}}
status.phase|own|strategic|{"status":{"phase":"Succeeded"}}
status.reason|own|strategic|{"status":{"reason":"Evicted"}}
status.message|own|strategic|{"status":{"message":"all is well"}}
status.startTime|own|strategic|{"status":{"startTime":"2020-01-01T00:00:00Z"}}
status.startTime|own|merge|{"status":{"startTime":null}}
status.nominatedNodeName|own|strategic|{"status":{"nominatedNodeName":"elsewhere"}}
status.containerStatuses|own|strategic|{"status":{"containerStatuses":[{"name":"server","ready":false}]}}
status.containerStatuses|own|json|[{"op":"replace","path":"/status/containerStatuses/0/containerID","value":"containerd://2"}]
status.containerStatuses|own|json|[{"op":"remove","path":"/status/containerStatuses"}]
status.initContainerStatuses|own|merge|{"status":{"initContainerStatuses":[{"name":"x","image":"x","imageID":"x","ready":true,"restartCount":0}]}}
the condition Ready|own|strategic|{"status":{"conditions":[{"type":"Ready","status":"True"}]}}
the condition Ready|own|strategic|{"status":{"conditions":[{"type":"Ready","$patch":"delete"}]}}
the condition Ready|own|strategic|{"status":{"conditions":[{"type":"accord.dev/agrees","status":"True"},{"type":"Ready","lastTransitionTime":"2020-01-01T00:00:00Z"}]}}
the condition example.com/other|own|strategic|{"status":{"conditions":[{"type":"example.com/other","status":"True"}]}}
the condition ContainersReady, Ready, PodScheduled|own|merge|{"status":{"conditions":[]}}
lists a condition twice|own|json|[{"op":"add","path":"/status/conditions/-","value":{"type":"accord.dev/agrees","status":"True"}},{"op":"add","path":"/status/conditions/-","value":{"type":"accord.dev/agrees","status":"False"}}]
has none|foreign|strategic|{"status":{"conditions":[{"type":"accord.dev/agrees","status":"True"}]}}
has none|foreign|strategic|{"metadata":{"labels":{"accord.dev/service":"shop"}},"status":{"conditions":[{"type":"accord.dev/agrees","status":"True"}]}}
CASES

gate() { printf '{"status":{"conditions":[{"type":"accord.dev/agrees","status":"%s","lastTransitionTime":"2026-01-01T00:00:0%sZ","reason":"Test"}]}}' "$1" "$2"; }
reads_gate() { k get pod own -n "$ns" -o 'jsonpath={.status.conditions[?(@.type=="accord.dev/agrees")].status}'; }
# All of the pod that the policy guards.
guarded() {
  k get pod own -n "$ns" -o json | python3 -c '
import json, sys
pod = json.load(sys.stdin)
for key in ("resourceVersion", "managedFields"): pod["metadata"].pop(key, None)
pod["status"]["conditions"] = [c for c in pod["status"]["conditions"] if c["type"] != "accord.dev/agrees"]
print(json.dumps(pod, sort_keys=True))'
}

trap cleanup EXIT
trap 'exit 130' INT TERM
k create namespace "$ns" >/dev/null
chart serviceaccount | k apply -f - >/dev/null
chart rbac | k apply -f - >/dev/null
# kubectl reads what it patches; Accord doesn't need this.
k create role reads-status -n "$ns" --verb=get --resource=pods/status >/dev/null
k create rolebinding reads-status -n "$ns" --role=reads-status --serviceaccount="$ns:accord" >/dev/null
for pod in own foreign; do
  [ "$pod" = own ] && labels='{app: shop, accord.dev/service: shop}' || labels='{app: shop}'
  k create -n "$ns" -f - >/dev/null <<POD
apiVersion: v1
kind: Pod
metadata: {name: $pod, labels: $labels}
spec:
  serviceAccountName: accord
  schedulingGates: [{name: accord.dev/test}]
  readinessGates: [{conditionType: accord.dev/agrees}]
  containers: [{name: server, image: localhost/never:pulled}]
POD
  k patch pod "$pod" -n "$ns" --subresource=status --type=strategic -p '{"status":{"phase":"Running","podIP":"10.1.1.1","podIPs":[{"ip":"10.1.1.1"}],
    "hostIP":"10.1.1.2","hostIPs":[{"ip":"10.1.1.2"}],"startTime":"2026-01-01T00:00:00Z",
    "conditions":[{"type":"ContainersReady","status":"True"},{"type":"Ready","status":"False"}],
    "containerStatuses":[{"name":"server","image":"x","imageID":"x","containerID":"containerd://1","ready":true,"restartCount":0}]}}' >/dev/null
done
before=$(guarded)

echo "Without the policy, Accord's account could do each of these:"
for case in "${forbidden[@]}"; do
  IFS='|' read -r words pod type patch <<<"$case"
  if said=$(as_accord "$pod" "$type" "$patch" --dry-run=server); then ok "$patch"; else bad "not even possible without the policy: $patch" "$said"; fi
done

chart podstatuspolicy | k apply -f - >/dev/null
# A policy takes effect when the API server's watch has brought it.
for ((i = 0; ; i++)); do
  as_accord own strategic '{"metadata":{"labels":{"app":"elsewhere"}}}' --dry-run=server >/dev/null || break
  [ "$i" -lt 100 ] || { bad "the policy has no effect after $i tries"; break; }
done

echo "With it, each is refused:"
for case in "${forbidden[@]}"; do
  IFS='|' read -r words pod type patch <<<"$case"
  if said=$(as_accord "$pod" "$type" "$patch"); then
    bad "admitted: $patch"
  elif [[ $said == *"ValidatingAdmissionPolicy '$policy'"*"denied request: Accord may change"*"$words"* ]]; then
    ok "${said#*denied request: }"
  else
    bad "refused in other words than '$words': $patch" "$said"
  fi
done

echo "The gate itself opens and closes:"
n=0
for type in strategic merge json apply put; do
  for state in True False; do
    n=$((n + 1))
    case $type in
    strategic) said=$(as_accord own strategic "$(gate $state $n)") || true ;;
    # A merge patch replaces the list, so it has to bring the others along, as they are.
    merge | json | put) said=$(k get pod own -n "$ns" -o json | python3 -c '
import json, sys
pod, state = json.load(sys.stdin), sys.argv[1]
conditions = [c for c in pod["status"]["conditions"] if c["type"] != "accord.dev/agrees"]
conditions.insert(0, {"type": "accord.dev/agrees", "status": state})
pod["status"]["conditions"] = conditions
print({"merge": lambda: json.dumps({"status": {"conditions": conditions}}),
       "json": lambda: json.dumps([{"op": "replace", "path": "/status/conditions", "value": conditions}]),
       "put": lambda: json.dumps(pod)}[sys.argv[2]]())' "$state" "$type" |
      if [ "$type" = put ]; then k replace --as="$account" --subresource=status -f - 2>&1; else as_accord own "$type" "$(cat)"; fi) || true ;;
    apply) said=$(k apply --as="$account" --server-side --force-conflicts --field-manager=accord --subresource=status -f - 2>&1 <<APPLY
{"apiVersion":"v1","kind":"Pod","metadata":{"name":"own","namespace":"$ns"},"status":{"conditions":[{"type":"accord.dev/agrees","status":"$state"}]}}
APPLY
    ) || true ;;
    esac
    if [ "$(reads_gate)" = "$state" ]; then ok "$type: $state"; else bad "$type: the gate is not $state" "$said"; fi
  done
done
if [ "$(guarded)" = "$before" ]; then ok "all else is as it was"; else bad "something else has changed" "$(guarded)"; fi

echo "Others are not concerned:"
if said=$(k patch pod own -n "$ns" --subresource=status --type=merge -p '{"metadata":{"labels":{"app":"elsewhere"}},"status":{"podIP":"10.1.1.3","podIPs":[{"ip":"10.1.1.3"}]}}' 2>&1); then
  ok "an administrator may still change labels and addresses"
else
  bad "an administrator is refused" "$said"
fi

echo "vap: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
