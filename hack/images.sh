#!/usr/bin/env bash
# Build the platform's images and load them into the local cluster, if it runs: `images.sh [NAME of the cluster]`.
# Each image has a tag made of the contents of its sources, and the alias :dev: nothing is built or loaded twice.
# The names are then in images.env of the cache. For a cluster of AGENTIC_KUBECONFIG, AGENTIC_REGISTRY says where to push.
. "$(dirname "$0")/lib.sh"
. "$hack/buildah.sh"
. "$hack/cluster/bare.sh"

name=${1:-${AGENTIC_CLUSTER:-hub}}
registry=docker.io/agentic
platform=(operator api runtime)

# One tag for all programs of the platform, as a release has.
tags() {
  base_tag=$(content_hash hack/images/base)
  platform_tag=$(content_hash hack/images/base {operator,api,runtime_image}/Dockerfile pyproject.toml README.md LICENSE \
    crds/agentic_crds core/agentic_core operator/agentic_operator api/agentic_api gateway/agentic_gateway \
    migrations/agentic_migrations runtime_image/agentic_runtime)
  services_tag=$(content_hash hack/images/dev-services)
  wanted=("base:$base_tag" "${platform[@]/%/:$platform_tag}" "dev-services:$services_tag")
}

dockerfile() {
  case $1 in
    base | dev-services) echo "hack/images/$1/Dockerfile" ;;
    runtime) echo runtime_image/Dockerfile ;;
    *) echo "$1/Dockerfile" ;;
  esac
}

# Docker and buildah have the same commands here.
build() {
  if [ "$engine" = docker ]; then docker build -q -t "$@"; else buildah_build "$@"; fi
}

tool() {
  if [ "$engine" = docker ]; then docker "$@"; else buildah_here "$@"; fi
}

build_image() { # name:tag
  build "$registry/$1" -f "$(dockerfile "${1%%:*}")" --build-arg "BASE=$registry/base:$base_tag" .
  tool tag "$registry/$1" "$registry/${1%%:*}:dev"
}

list() { # what to tell of each image that is here
  if [ "$engine" = docker ]; then docker images --format "{{.Repository}}:{{.Tag}} $1"; else buildah_here images --format "{{.Name}}:{{.Tag}} $1"; fi
}

built() { list "" | tr -d ' '; }

python_here() {
  built | grep -qx docker.io/library/python:3.11-slim-bookworm || "$hack/cluster/images.sh"
}

absent() { # names on standard input; the wanted ones that are not among them
  local have
  have=$(cat)
  for image in "${wanted[@]}"; do
    grep -qE "^(docker.io/)?agentic/${image}$" <<<"$have" || echo "$image"
  done
}

build_all() {
  local image todo
  mapfile -t todo < <(built | absent)
  steps=${#todo[@]}
  for image in "${todo[@]}"; do step "building $image" build_image "$image"; done
}

loaded() {
  if [ -e "$clusters/$name/kind" ]; then
    docker exec "agentic-$name-control-plane" crictl images | awk '{print $1 ":" $2}'
  else
    bare_ctr "$name" images ls -q 2>/dev/null
  fi
}

# One image, uncompressed, becomes part of an OCI layout; prints its entry in the layout's index.
export_image() { # name:tag, layout
  local parts=$2/parts digest size
  buildah_here push -q --disable-compression --format oci "$registry/$1" "dir:$parts" >&2
  digest=$(sha256sum <"$parts/manifest.json" | cut -d ' ' -f 1)
  size=$(stat -c %s "$parts/manifest.json")
  rm "$parts/version"
  mv "$parts/manifest.json" "$parts/$digest"
  mv "$parts"/* "$2/blobs/sha256/"
  rmdir "$parts"
  printf '{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:%s", "size": %d,' "$digest" "$size"
  printf ' "annotations": {"io.containerd.image.name": "%s"}}' "$registry/$1"
}

# All images in one archive: their common layers are in it once, and not at all where the cluster has them.
load_bare() {
  local layout=$images/layout image entries="" blob
  rm -rf "$layout" # what an interrupted call left
  mkdir -p "$layout/blobs/sha256"
  for image in "$@"; do entries+=${entries:+,}$(export_image "$image" "$layout"); done
  echo '{"imageLayoutVersion": "1.0.0"}' >"$layout/oci-layout"
  echo "{\"schemaVersion\": 2, \"manifests\": [$entries]}" >"$layout/index.json"
  for blob in $(bare_ctr "$name" content ls -q 2>/dev/null); do rm -f "$layout/blobs/sha256/${blob#sha256:}"; done
  tar -C "$layout" -c . | bare_import "$name" -
  rm -rf "$layout"
  for image in "$@"; do bare_ctr "$name" images tag --force "$registry/$image" "$registry/${image%%:*}:dev"; done
}

load_kind() {
  local image
  for image in "$@"; do kind load docker-image --name "agentic-$name" "$registry/$image"; done
}

load() {
  local todo
  if [ -e "$clusters/$name/kind" ]; then how=load_kind; elif bare_node "$name" >/dev/null; then how=load_bare; else return 0; fi
  mapfile -t todo < <(loaded | absent | grep -v ^base: || true)
  [ "${#todo[@]}" -gt 0 ] || return 0
  steps=1 step_number=0
  step "loading ${#todo[@]} images into cluster $name" "$how" "${todo[@]}"
}

push() {
  local image
  [ -n "${AGENTIC_REGISTRY:-}" ] ||
    fail "the cluster of AGENTIC_KUBECONFIG gets images from a registry: set AGENTIC_REGISTRY to one that you may push to"
  steps=${#wanted[@]} step_number=0
  for image in "${wanted[@]}"; do
    tool tag "$registry/$image" "$AGENTIC_REGISTRY/$image"
    step "pushing $AGENTIC_REGISTRY/$image" tool push "$AGENTIC_REGISTRY/$image"
  done
  registry=$AGENTIC_REGISTRY
}

sizes() {
  list "{{.Size}}" | grep -F "$(printf '%s\n' "${wanted[@]}")" |
    sed "s#.*agentic/#  #" | column -t -R 2 | sort -u >&2
}

main() {
  cd "$root"
  mkdir -p "$images"
  log=$cache/images.log
  if docker_answers; then engine=docker; else engine=buildah; fi
  tags
  if [ "$engine" = buildah ]; then
    "$hack/deps.sh"
    "$hack/cluster/build.sh"
    python_here
  fi
  only_one images
  : >"$log"
  build_all
  sizes
  if [ -n "${AGENTIC_KUBECONFIG:-}" ]; then push; else load; fi
  printf 'registry=%s\nplatform_tag=%s\nservices_tag=%s\n' "$registry" "$platform_tag" "$services_tag" >"$cache/images.env.part"
  mv "$cache/images.env.part" "$cache/images.env"
}

main
