#!/usr/bin/env bash
# Install what the bare cluster and the image builds need from the system's packages, and only what is missing.
# cluster-up.sh and images.sh call it; it does nothing where Docker does the work.
. "$(dirname "$0")/lib.sh"

# A program, or a file, that shows that a package is there.
needed=(
  runc:runc containernetworking-plugins:/usr/lib/cni/bridge buildah:buildah mmdebstrap:mmdebstrap nftables:nft
  iptables:iptables socat:socat conntrack:conntrack ethtool:ethtool iproute2:ip util-linux:nsenter openssl:openssl
  curl:curl procps:sysctl python3:python3
)

present() {
  case $1 in
    /*) [ -e "$1" ] ;;
    *) PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null ;;
  esac
}

missing=()
for entry in "${needed[@]}"; do
  present "${entry#*:}" || missing+=("${entry%%:*}")
done
if [ "${#missing[@]}" -gt 0 ]; then
  command -v apt-get >/dev/null || fail "install these first: ${missing[*]} (apt-get is not here to do it)"
  [ "$(id -u)" = 0 ] || fail "run as root, or install these first: apt-get install ${missing[*]}"
  only_one deps
  mkdir -p "$cache"
  log=$cache/deps.log steps=1
  install() { DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "${missing[@]}"; }
  try() { install || { apt-get update -q && install; }; }
  step "installing ${missing[*]}" try
fi
