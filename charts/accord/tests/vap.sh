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

# as_accord POD TYPE PATCH [FLAG…]: writes a pod's status as Accord's account. Besides kubectl's patch types: `put` sends the whole pod with
# a merge patch applied, `apply` the patch as what a field manager wants, `renamed` gives the condition Ready another type, and `twice`
# lists a condition a second time.
as_accord() {
  local pod=$1 type=$2 patch=$3
  shift 3
  local as=(-n "$ns" --as="$account" --subresource=status "$@")
  case $type in
  put) edited "$pod" 'merge(pod, json.loads(argument))' "$patch" | k replace "${as[@]}" -f - 2>&1 ;;
  renamed) edited "$pod" 'next(c for c in conditions if c["type"] == "Ready").update(type=argument)' "$patch" | k replace "${as[@]}" -f - 2>&1 ;;
  twice) edited "$pod" 'conditions.extend(dict(c) for c in conditions[:] if c["type"] == argument)' "$patch" | k replace "${as[@]}" -f - 2>&1 ;;
  apply)
    python3 -c 'import json, sys
print(json.dumps({"apiVersion": "v1", "kind": "Pod", **json.loads(sys.argv[2]), "metadata": {**json.loads(sys.argv[2]).get("metadata", {}), "name": sys.argv[1]}}))' \
      "$pod" "$patch" | k apply "${as[@]}" --server-side --force-conflicts --field-manager=accord -f - 2>&1
    ;;
  *) k patch pod "$pod" "${as[@]}" --type="$type" -p "$patch" 2>&1 ;;
  esac
}

# edited POD STATEMENT ARGUMENT: the pod as it is, changed by a statement of Python.
edited() {
  k get pod "$1" -n "$ns" -o json | python3 -c '
import json, sys
def merge(target, patch):
    for key, value in patch.items():
        if isinstance(value, dict): merge(target.setdefault(key, {}), value)
        else: target[key] = value
pod, argument = json.load(sys.stdin), sys.argv[2]
conditions = pod["status"]["conditions"]
exec(sys.argv[1])
print(json.dumps(pod))' "$2" "$3"
}

# What Accord must not do: words that the refusal has to contain | pod | patch type | patch
mapfile -t forbidden <<'CASES'
metadata.labels|own|strategic|{"metadata":{"labels":{"app":"elsewhere"}}}
metadata.labels|own|strategic|{"metadata":{"labels":{"team":"shop"}}}
metadata.labels|own|strategic|{"metadata":{"labels":{"app":null}}}
metadata.labels|own|strategic|{"metadata":{"labels":{"accord.dev/service":null}}}
metadata.labels|own|strategic|{"metadata":{"labels":{"accord.dev/service":"other"}},"status":{"conditions":[{"type":"accord.dev/agrees","status":"True"}]}}
metadata.labels|own|put|{"metadata":{"labels":{"app":"elsewhere"}}}
metadata.labels|own|apply|{"metadata":{"labels":{"team":"shop"}}}
metadata.annotations|own|strategic|{"metadata":{"annotations":{"a":"b"}}}
metadata.annotations|own|merge|{"metadata":{"annotations":{"example.com/note":"another"}}}
metadata.annotations|own|merge|{"metadata":{"annotations":{"example.com/note":null}}}
metadata.annotations|own|json|[{"op":"remove","path":"/metadata/annotations"}]
metadata.finalizers|own|strategic|{"metadata":{"finalizers":["example.com/stuck"]}}
status.podIP|own|merge|{"status":{"podIP":"10.9.9.9","podIPs":[{"ip":"10.9.9.9"}]}}
status.podIP|own|put|{"status":{"podIP":"10.9.9.9","podIPs":[{"ip":"10.9.9.9"}]}}
status.podIP|own|merge|{"status":{"podIP":null,"podIPs":null}}
status.podIPs|own|json|[{"op":"add","path":"/status/podIPs/-","value":{"ip":"fd00::9"}}]
status.hostIP|own|merge|{"status":{"hostIP":"10.9.9.8","hostIPs":[{"ip":"10.9.9.8"}]}}
status.hostIPs|own|json|[{"op":"add","path":"/status/hostIPs/-","value":{"ip":"fd00::8"}}]
status.phase|own|strategic|{"status":{"phase":"Succeeded"}}
status.phase|own|apply|{"status":{"phase":"Failed"}}
status.reason|own|strategic|{"status":{"reason":"Evicted"}}
status.message|own|strategic|{"status":{"message":"all is well"}}
status.startTime|own|strategic|{"status":{"startTime":"2020-01-01T00:00:00Z"}}
status.startTime|own|merge|{"status":{"startTime":null}}
status.nominatedNodeName|own|strategic|{"status":{"nominatedNodeName":"elsewhere"}}
status.resize|own|strategic|{"status":{"resize":"Infeasible"}}
status.observedGeneration|own|strategic|{"status":{"observedGeneration":1}}
status.containerStatuses|own|strategic|{"status":{"containerStatuses":[{"name":"server","ready":false}]}}
status.containerStatuses|own|strategic|{"status":{"containerStatuses":[{"name":"server","started":true}]}}
status.containerStatuses|own|strategic|{"status":{"containerStatuses":[{"name":"server","restartCount":7}]}}
status.containerStatuses|own|strategic|{"status":{"containerStatuses":[{"name":"server","imageID":"another"}]}}
status.containerStatuses|own|strategic|{"status":{"containerStatuses":[{"name":"server","state":{"running":{"startedAt":"2020-01-01T00:00:00Z"}}}]}}
status.containerStatuses|own|json|[{"op":"replace","path":"/status/containerStatuses/0/containerID","value":"containerd://2"}]
status.containerStatuses|own|json|[{"op":"remove","path":"/status/containerStatuses"}]
status.initContainerStatuses|own|merge|{"status":{"initContainerStatuses":[{"name":"first","image":"x","imageID":"x","ready":true,"restartCount":0}]}}
status.ephemeralContainerStatuses|own|merge|{"status":{"ephemeralContainerStatuses":[{"name":"debugger","image":"x","imageID":"x","ready":false,"restartCount":0}]}}
the condition Ready|own|strategic|{"status":{"conditions":[{"type":"Ready","status":"True"}]}}
the condition Ready|own|apply|{"status":{"conditions":[{"type":"Ready","status":"True"}]}}
the condition Ready|own|strategic|{"status":{"conditions":[{"type":"Ready","$patch":"delete"}]}}
the condition Ready|own|strategic|{"status":{"conditions":[{"type":"Ready","reason":"Another"}]}}
the condition Ready|own|strategic|{"status":{"conditions":[{"type":"Ready","message":"another"}]}}
the condition Ready|own|strategic|{"status":{"conditions":[{"type":"accord.dev/agrees","status":"True"},{"type":"Ready","lastTransitionTime":"2020-01-01T00:00:00Z"}]}}
the condition ContainersReady|own|strategic|{"status":{"conditions":[{"type":"ContainersReady","status":"False"}]}}
the condition ContainersReady|own|strategic|{"status":{"conditions":[{"type":"ContainersReady","$patch":"delete"}]}}
the condition PodScheduled|own|strategic|{"status":{"conditions":[{"type":"PodScheduled","status":"True"}]}}
the condition Initialized|own|strategic|{"status":{"conditions":[{"type":"Initialized","status":"True"}]}}
the condition DisruptionTarget|own|strategic|{"status":{"conditions":[{"type":"DisruptionTarget","status":"True"}]}}
the condition PodReadyToStartContainers|own|strategic|{"status":{"conditions":[{"type":"PodReadyToStartContainers","status":"True"}]}}
the condition example.com/other|own|strategic|{"status":{"conditions":[{"type":"example.com/other","status":"True"}]}}
the condition accord.dev/agrees-not|own|strategic|{"status":{"conditions":[{"type":"accord.dev/agrees-not","status":"True"}]}}
the condition example.com/was-ready, Ready|own|renamed|example.com/was-ready
the condition ContainersReady, Ready, PodScheduled|own|merge|{"status":{"conditions":[]}}
lists a condition twice|own|json|[{"op":"add","path":"/status/conditions/-","value":{"type":"accord.dev/agrees","status":"True"}},{"op":"add","path":"/status/conditions/-","value":{"type":"accord.dev/agrees","status":"False"}}]
lists a condition twice|own|twice|Ready
has none|foreign|strategic|{"status":{"conditions":[{"type":"accord.dev/agrees","status":"True"}]}}
has none|foreign|put|{"status":{"conditions":[{"type":"accord.dev/agrees","status":"True"}]}}
has none|foreign|strategic|{"metadata":{"labels":{"accord.dev/service":"shop"}},"status":{"conditions":[{"type":"accord.dev/agrees","status":"True"}]}}
CASES

# What the API server doesn't take from this path, whoever sends it: it is left out in silence, or refused as invalid.
mapfile -t without_effect <<'CASES'
own|strategic|{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"a","uid":"b"}]}}
own|strategic|{"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"}}
own|strategic|{"metadata":{"name":"another"}}
own|strategic|{"metadata":{"uid":"another"}}
own|merge|{"spec":{"nodeName":"elsewhere"}}
own|json|[{"op":"replace","path":"/spec/containers/0/image","value":"localhost/another"}]
own|merge|{"spec":{"readinessGates":null}}
own|merge|{"status":{"qosClass":"Guaranteed"}}
own|strategic|{"status":{"resourceClaimStatuses":[{"name":"device","resourceClaimName":"another"}]}}
CASES

# What RBAC keeps from Accord before any policy is asked: arguments of kubectl.
mapfile -t no_right <<'CASES'
patch pod own -p {"metadata":{"labels":{"app":"elsewhere"}}}
patch pod own --subresource=resize -p {"spec":{"containers":[{"name":"server","resources":{"limits":{"cpu":"1"}}}]}}
patch pod own --subresource=ephemeralcontainers -p {"spec":{"ephemeralContainers":[{"name":"debugger","image":"x"}]}}
delete pod own --wait=false
annotate pod own a=b
create --raw /api/v1/namespaces/NAMESPACE/pods/own/binding -f /dev/stdin
create --raw /api/v1/namespaces/NAMESPACE/pods/own/exec?command=id -f /dev/stdin
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
# kubectl reads what it patches, and a PUT has to be held down as a PATCH is; Accord itself has neither right.
k create role more-of-status -n "$ns" --verb=get,update --resource=pods/status >/dev/null
k create rolebinding more-of-status -n "$ns" --role=more-of-status --serviceaccount="$ns:accord" >/dev/null
for pod in own foreign; do
  [ "$pod" = own ] && labels='{app: shop, accord.dev/service: shop}' || labels='{app: shop}'
  k create -n "$ns" -f - >/dev/null <<POD
apiVersion: v1
kind: Pod
metadata: {name: $pod, labels: $labels, annotations: {example.com/note: kept}}
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

if [ "$(guarded)" = "$before" ]; then ok "the pod is as it was"; else bad "something was changed" "$(guarded)"; fi

echo "What the API server itself doesn't take leaves the pod as it was:"
for case in "${without_effect[@]}"; do
  IFS='|' read -r pod type patch <<<"$case"
  said=$(as_accord "$pod" "$type" "$patch") || true
  if [ "$(guarded)" = "$before" ]; then ok "$patch"; else bad "it had an effect: $patch" "$said"; fi
done

echo "Without a right to:"
for case in "${no_right[@]}"; do
  read -ra arguments <<<"${case//NAMESPACE/$ns}"
  if said=$(k -n "$ns" --as="$account" "${arguments[@]}" 2>&1 <<<'{"apiVersion":"v1","kind":"Binding","metadata":{"name":"own"},"target":{"kind":"Node","name":"elsewhere"}}'); then
    bad "admitted: $case"
  elif [[ $said == *forbidden* ]]; then
    ok "$case"
  else
    bad "refused, and not for want of a right: $case" "$said"
  fi
done
if [ "$(guarded)" = "$before" ]; then ok "the pod is as it was"; else bad "something was changed" "$(guarded)"; fi

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
