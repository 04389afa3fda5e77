# Knows how images are built and kept where Docker does not answer; cluster/images.sh and images.sh source it.
# shellcheck shell=bash disable=SC2154  # lib.sh, which comes first, sets the folders

buildah_here() {
  buildah --root "$images/store/root" --runroot "$images/store/run" --storage-driver overlay "$@"
}

archive() { # image, file: uncompressed, because it goes no further than this machine
  buildah_here push -q --disable-compression "$1" "oci-archive:$2.part:$1"
  mv "$2.part" "$2"
}

buildah_build() { # image, arguments of `buildah build`…
  local certificates=/etc/ssl/certs/ca-certificates.crt
  # The host's network and certificates serve the build only: neither ends up in the image.
  buildah_here build -q --pull-never --layers --isolation chroot --network host \
    --volume "$certificates:$certificates:ro" -t "$@"
}
