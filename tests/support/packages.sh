# shellcheck shell=bash disable=SC2034
# Sourced by ./quickstart, ./run-tests and .ci/run: the Debian packages that
# each of them needs, and install_packages, which installs those not there.
# 'a|b': the first of the two that the release has (Debian 12, Debian 13).

# What the daemon and the command line are built from.
packages_build=(
  g++ cmake ninja-build pkg-config ccache
  openssl libssl-dev libvirt-dev libtss2-dev libgrpc++-dev libabsl-dev
  libprotobuf-dev protobuf-compiler protobuf-compiler-grpc
  libspdlog-dev libfmt-dev nlohmann-json3-dev libyaml-cpp-dev libcli11-dev
  libsqlite3-dev libcurl4-openssl-dev libsystemd-dev libxml2-dev librust-blake3-dev
  liblz4-dev liblzma-dev libzstd-dev libseccomp-dev libext2fs-dev libnbd-dev libtsk-dev
  librpm-dev prometheus-cpp-dev
)
# A private libvirt, a software TPM and a guest.
packages_bed=(
  libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils
  swtpm swtpm-tools tpm2-tools
  'libtss2-tcti-swtpm0|libtss2-tcti-swtpm0t64'
  'libtss2-tcti-device0|libtss2-tcti-device0t64'
  iproute2 util-linux procps cpio kmod xz-utils zstd jq e2fsprogs
)
packages_test=(
  clang libclang-rt-dev lld llvm
  libgtest-dev libgmock-dev libbenchmark-dev zlib1g-dev
  python3 e2fsprogs ovmf fsverity
  dosfstools fdisk gdisk mtools rpm sbsigntool sqlite3 xfsprogs btrfs-progs
  libguestfs-dev libguestfs-xfs guestfish squashfs-tools
  etcd-server etcd-client
  'npm|nodejs' # a nodejs that is not Debian's brings its own npm
)
packages_lint=(clang-format clang-tidy)

# package_installed 'NAME|...': one of the names is installed.
package_installed() {
  local names name
  IFS='|' read -ra names <<<"$1"
  for name in "${names[@]}"; do
    if dpkg-query -W -f '${Status}' "$name" 2>/dev/null |
      grep -q '^install ok installed'; then
      return 0
    fi
  done
  return 1
}

# known_package 'NAME|...': prints the first name that apt knows, or else the
# first of all, so that apt's own message says what is not to be had.
known_package() {
  local names name
  IFS='|' read -ra names <<<"$1"
  for name in "${names[@]}"; do
    # Of a name that others only provide it prints nothing, and succeeds.
    if [ -n "$(apt-cache show "$name" 2>/dev/null)" ]; then
      echo "$name"
      return
    fi
  done
  echo "${names[0]}"
}

# install_packages NAME...: quiet, and silent when nothing is missing.
install_packages() {
  local missing=() names=() name
  for name in "$@"; do
    package_installed "$name" || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  local sudo=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
      echo "needs these Debian packages, and root or sudo to install them: ${missing[*]}" >&2
      return 1
    }
    sudo=(sudo)
  fi
  echo "installing ${#missing[@]} Debian packages"
  local log
  log=$(mktemp)
  # Which alternative there is can only be told once the lists are there.
  "${sudo[@]}" apt-get update -qq >"$log" 2>&1 || true
  for name in "${missing[@]}"; do
    names+=("$(known_package "$name")")
  done
  if ! "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends "${names[@]}" >>"$log" 2>&1; then
    # One by one, so that the message names the package that is really not to
    # be had.
    for name in "${names[@]}"; do
      "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends "$name" >>"$log" 2>&1 ||
        echo "package $name could not be installed; see $log" >&2
    done
    return 0
  fi
  rm -f "$log"
}
