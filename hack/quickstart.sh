#!/usr/bin/env bash
# From nothing to an answer: a cluster, the images, the platform, a tenant, a provider, an agent, and a run of it.
# AGENTIC_CLUSTER names the cluster (default hub). With ANTHROPIC_API_KEY or OPENAI_API_KEY the agent uses that provider,
# and AGENTIC_MODEL if set; otherwise a small model inside the cluster. What is there already is used again.
. "$(dirname "$0")/lib.sh"
. "$hack/cluster/bare.sh"

name=${AGENTIC_CLUSTER:-hub}
state=$clusters/$name
samples=$root/manifests/samples/quickstart
helm_charts=$root/manifests/helm
registry="" platform_tag="" services_tag="" # images.sh says what it built
question=${AGENTIC_QUESTION:-What is the capital of France, and what is it known for?}

choose_provider() {
  if [ -n "${ANTHROPIC_API_KEY:-}" ]; then
    provider=anthropic model=${AGENTIC_MODEL:-claude-haiku-4-5} host=api.anthropic.com key=$ANTHROPIC_API_KEY
  elif [ -n "${OPENAI_API_KEY:-}" ]; then
    provider=openai model=${AGENTIC_MODEL:-gpt-5-mini} host=api.openai.com key=$OPENAI_API_KEY
  else
    provider=local model=smollm2 host="" key=""
  fi
}

random_secret() { openssl rand -hex 24; }

secret() { # namespace, name, key=value…: created now if it does not exist
  kubectl -n "$1" get secret "$2" >/dev/null 2>&1 && return
  kubectl -n "$1" create secret generic "$2" "${@:3}"
}

password() { kubectl -n agentic-dev get secret postgres -o "jsonpath={.data.$1}" | base64 -d; }

apply_dev() { # manifest of dev-services: with the images that were built last
  sed -E -e "s#docker.io/agentic/dev-services:dev#$registry/dev-services:$services_tag#" \
    -e "s#docker.io/agentic/api:dev#$registry/api:$platform_tag#" "$hack/dev-services/$1.yaml" | kubectl apply -f -
}

namespaces() {
  apply_dev namespace
  kubectl get namespace agentic-system >/dev/null 2>&1 || kubectl create namespace agentic-system
  kubectl label namespace agentic-system --overwrite pod-security.kubernetes.io/enforce=restricted
  secret agentic-dev postgres --from-literal="admin=$(random_secret)" --from-literal="migrator=$(random_secret)" \
    --from-literal="api=$(random_secret)" --from-literal="gateway=$(random_secret)"
  local where=postgres.agentic-dev.svc:5432/agentic role
  for role in api gateway migrator; do
    # A cluster of a version before has no password of the programs' own roles.
    [ -n "$(password "$role")" ] ||
      kubectl -n agentic-dev patch secret postgres -p "{\"stringData\": {\"$role\": \"$(random_secret)\"}}"
    secret agentic-system "agentic-database-$role" \
      --from-literal="dsn=postgresql://agentic_$role:$(password "$role")@$where"
  done
}

rolled_out() { # namespace, deployment; says why not
  kubectl -n "$1" rollout status "deployment/$2" --timeout=120s && return
  kubectl -n "$1" get pods
  kubectl -n "$1" describe pods -l "app.kubernetes.io/name=$2" | sed -n '/^Events:/,$p' | tail -n 10
  kubectl -n "$1" logs "deployment/$2" --tail=10
  return 1
}

dev_services() {
  namespaces
  apply_dev postgres
  apply_dev local-model
  apply_dev scripted-model
  rolled_out agentic-dev postgres
  # The roles are made for each new database, and that is as old as its pod.
  local pod
  pod=$(kubectl -n agentic-dev get pod -l app.kubernetes.io/name=postgres -o 'jsonpath={.items[0].metadata.uid}')
  pod="$pod, a role for each program"
  if [ "$(kubectl -n agentic-dev get job postgres-roles -o 'jsonpath={.metadata.annotations.agentic\.io/for}' 2>/dev/null)" != "$pod" ]; then
    kubectl -n agentic-dev delete job postgres-roles --ignore-not-found
    apply_dev postgres-roles
    kubectl -n agentic-dev wait --for=condition=Complete job/postgres-roles --timeout=60s || {
      kubectl -n agentic-dev logs job/postgres-roles --tail=10
      return 1
    }
    kubectl -n agentic-dev annotate job postgres-roles "agentic.io/for=$pod"
    rm -f "$state/installed"
  fi
  rolled_out agentic-dev local-model
  rolled_out agentic-dev scripted-model
}

# Helm lets nobody touch a release that a killed call left in the middle; without that attempt it goes on from the last one.
forget_killed_attempt() {
  kubectl -n agentic-system delete secret \
    -l 'owner=helm,name in (agentic-crds,agentic-platform),status in (pending-install,pending-upgrade,pending-rollback)'
}

# Helm's hooks run at every upgrade, so an upgrade happens only when it would change something.
install_platform() {
  local wanted
  wanted="$(content_hash manifests/helm hack/dev-services/values.yaml) $platform_tag"
  # The chart's NetworkPolicies name the addresses of the API server.
  wanted+=" $(kubectl -n default get endpointslice kubernetes -o 'jsonpath={.endpoints[*].addresses[*]}')"
  if [ "$(cat "$state/installed" 2>/dev/null)" != "$wanted" ]; then
    rm -f "$state/installed"
    forget_killed_attempt
    helm upgrade --install agentic-crds "$helm_charts/agentic-crds" --namespace agentic-system --wait --timeout 2m
    helm upgrade --install agentic-platform "$helm_charts/agentic-platform" --namespace agentic-system \
      --values "$hack/dev-services/values.yaml" --set-string "images.registry=$registry,images.tag=$platform_tag" --timeout 5m
  fi
  local program
  for program in operator api gateway; do
    rolled_out agentic-system "agentic-$program"
  done
  echo "$wanted" >"$state/installed"
}

tenant() {
  kubectl apply -f "$samples/tenant.yaml"
  kubectl wait --for=condition=Ready tenant/acme --timeout=120s
}

agent() {
  if [ "$provider" = local ]; then
    kubectl apply -f "$samples/provider.yaml"
  else
    kubectl -n acme-default create secret generic "$provider" --from-literal="api-key=$key" --dry-run=client -o yaml |
      kubectl label --local -f - agentic.io/provider-key=true -o yaml | kubectl apply -f -
    kubectl apply -f "$root/manifests/samples/provider-$provider.yaml"
  fi
  sed -e "s/provider: local/provider: $provider/" -e "s/name: smollm2/name: $model/" "$samples/agent.yaml" | kubectl apply -f -
  kubectl -n acme-default wait --for=condition=Ready "modelprovider/$provider" agent/assistant --timeout=120s
  runtime
}

# After an upgrade the agent answers from the old runtime until the new one is there, and that one is about to stop.
runtime() {
  until_true 60 "the runtime of this version" sh -c "kubectl -n acme-default get deployment agent-runtime -o yaml | grep -q 'image: .*:$platform_tag'"
  rolled_out acme-default agent-runtime
}

call() { # key, method, path, body: the api's answer
  curl -sSf --noproxy '*' --max-time 30 -X "$2" -H "Authorization: Bearer $1" -H 'Content-Type: application/json' \
    ${4:+--data "$4"} "$url$3"
}

tenant_key() { # kept for the next time, as long as the api accepts it
  local file=$state/acme.key admin
  if ! { [ -s "$file" ] && call "$(cat "$file")" GET /api/v1/agents >/dev/null 2>&1; }; then
    admin=$(kubectl -n agentic-system get secret agentic-admin-key -o 'jsonpath={.data.key}' | base64 -d)
    (umask 077 && call "$admin" POST /api/v1/keys '{"name": "quickstart", "role": "owner", "tenant": "acme"}' |
      python3 -c 'import json, sys; print(json.load(sys.stdin)["key"])' >"$file")
  fi
  cat "$file"
}

keep_environment() {
  (umask 077 && printf 'export KUBECONFIG=%q\nexport AGENTIC_URL=%q\nexport AGENTIC_API_KEY=%q\n' \
    "$KUBECONFIG" "$url" "$api_key" >"$state/platform.env")
}

epilogue() {
  local setting=""
  [ "$name" = hub ] || setting="AGENTIC_CLUSTER=$name "
  say ""
  kubectl get tenants,agents,agentrevisions -A >&2
  cat >&2 <<TEXT

The platform runs on cluster $name.
  API      $url        (documentation: $url/docs)
  key      $api_key
Next:
  eval "\$(${setting}make -s env)"      # KUBECONFIG, AGENTIC_URL and AGENTIC_API_KEY for this shell
  kubectl get agents -A
  kubectl explain agent.spec.model
  curl -sN \$AGENTIC_URL/api/v1/agents/assistant/execute -H "Authorization: Bearer \$AGENTIC_API_KEY" \\
    -H 'Content-Type: application/json' -d '{"input": "Say hello.", "stream": true}'
  ${setting}make cluster-down      # stop, and remove everything
TEXT
}

main() {
  local started=$SECONDS
  choose_provider
  only_one "quickstart-$name"
  say "== Cluster"
  KUBECONFIG=$("$hack/cluster-up.sh" "$name")
  export KUBECONFIG
  say "== Images"
  "$hack/images.sh" "$name"
  # shellcheck disable=SC1091,SC2154  # images.sh has just written it
  . "$cache/images.env"
  need kubectl helm openssl curl python3
  say "== Platform"
  mkdir -p "$state"
  steps=4 log=$state/quickstart.log
  : >"$log"
  [ -z "$host" ] || [ ! -e "$state/pid" ] || "$hack/cluster/egress.sh" "$name" "$host"
  step "starting the database and the models" dev_services
  step "installing the platform" install_platform
  step "applying the tenant" tenant
  step "applying the provider and the agent" agent
  url=$("$hack/expose.sh" "$name" "$KUBECONFIG")
  api_key=$(tenant_key)
  keep_environment
  if [ "$provider" = local ]; then
    say "== Answer of SmolLM2-135M, a small model inside the cluster (set ANTHROPIC_API_KEY or OPENAI_API_KEY for a real one)"
  else
    say "== Answer of $model by $provider"
  fi
  say "> $question"
  AGENTIC_URL=$url AGENTIC_API_KEY=$api_key "$hack/ask.py" assistant "$question"
  epilogue
  say "($((SECONDS - started)) s)"
}

main
