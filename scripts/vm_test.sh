#!/bin/sh
# Runs the tests of sandboxes on a Debian kernel of their own, whose control groups are arranged as on other hosts.
# See CONTRIBUTING.md. Everything it makes is below .cache/vm.
set -eu
cd "$(dirname "$0")/.."

usage() {
	cat <<'END'
usage: sudo scripts/vm_test.sh --cgroups v1|v2|hybrid [--accel kvm|tcg] [--commit COMMIT] [--timeout SECONDS]
                               [-- PYTEST ARGUMENTS]

  --cgroups   what is mounted at /sys/fs/cgroup in the virtual machine
  --accel     kvm: the processor's own virtualization; tcg: emulation, at about a tenth of the speed and with a clock
              that is slowed down likewise. Without it, kvm if a kernel starts with it
  --commit    test what is committed there; without it, the files as they are
  --timeout   after how many seconds to give up (7200)

Without arguments for pytest: tests/integration/sandbox tests/integration/invoke tests/e2e/test_serve.py
END
}
say() { printf '%s\n' "vm_test: $*" >&2; }
fail() { say "$*"; exit 2; }

cgroups= accel= commit= timeout_s=7200
while [ $# -gt 0 ]; do
	case $1 in
		--cgroups) cgroups=${2-}; shift 2 || fail "--cgroups wants a value" ;;
		--accel) accel=${2-}; shift 2 || fail "--accel wants a value" ;;
		--commit) commit=${2-}; shift 2 || fail "--commit wants a value" ;;
		--timeout) timeout_s=${2-}; shift 2 || fail "--timeout wants a value" ;;
		--) shift; break ;;
		-h | --help) usage; exit 0 ;;
		*) usage >&2; exit 2 ;;
	esac
done
case $cgroups in v1 | v2 | hybrid) ;; *) usage >&2; exit 2 ;; esac
case $accel in "" | kvm | tcg) ;; *) usage >&2; exit 2 ;; esac
[ $# -gt 0 ] || set -- tests/integration/sandbox tests/integration/invoke tests/e2e/test_serve.py

[ "$(id -u)" = 0 ] || fail "debootstrap needs root: sudo scripts/vm_test.sh ..."
for program in qemu-system-x86_64 debootstrap mke2fs; do
	command -v "$program" >/dev/null ||
		fail "$program is missing: apt-get install -y --no-install-recommends qemu-system-x86 debootstrap e2fsprogs"
done
[ -x .venv/bin/pytest ] || fail "there is no .venv: make setup"
[ -d .cache/tests/runtimes ] ||
	fail "the machine has no network, so packs are taken from .cache/tests/runtimes: run tests/integration/invoke here first"

repository=$PWD
cache=$repository/.cache/vm
work=
mkdir -p "$cache"
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# --- Debian, once -------------------------------------------------------------------------------------------------
# .venv runs inside as it is, so the C library must not be older than this host's: the same release, if it is Debian.
release=$(. /etc/os-release && [ "$ID" = debian ] && echo "$VERSION_CODENAME" || echo trixie)
# What scripts/setup.sh installs, and the kernel, which brings an initial ramdisk.
packages=$(sed -n '/^packages="/,/"$/p' scripts/setup.sh | sed 's/^packages=//' | tr -d '"\\' | xargs | tr ' ' ',')
key="$release $packages,linux-image-cloud-amd64"
exec 9>"$cache/base.lock"
flock 9 # runs of two arrangements may begin at once
if [ "$(cat "$cache/base.key" 2>/dev/null)" != "$key" ]; then
	say "installing Debian $release into .cache/vm/base"
	rm -rf --one-file-system "$cache/base" "$cache/base.key" # an interrupted debootstrap may have left mounts
	debootstrap --variant=minbase --include="${key#* }" "$release" "$cache/base" >"$cache/base.log" 2>&1 ||
		{ tail "$cache/base.log" >&2; fail "debootstrap failed"; }
	rm -rf "$cache/base/var/cache/apt/archives" "$cache/base/var/lib/apt/lists"
	printf '%s\n' "$key" >"$cache/base.key"
fi

# --- the disk: Debian, this checkout and its interpreter, each at its own path ------------------------------------
work=$(mktemp -d "$cache/run-XXXXXX")
root=$work/root
link() { cp -al "$@" 2>/dev/null || cp -a "$@"; } # linked: nothing is written to, only read into the disk's image
link "$cache/base" "$root"
link "$cache"/base/boot/vmlinuz-* "$cache"/base/boot/initrd.img-* "$work/"
exec 9>&-
kernel=$(echo "$work"/vmlinuz-*)
initrd=$(echo "$work"/initrd.img-*)
add() { # a file or directory of this host
	mkdir -p "$root$(dirname "$1")"
	link "$1" "$root$(dirname "$1")/"
}
mkdir -p "$root$repository"
git() { command git -c safe.directory="$repository" "$@"; }
if [ -n "$commit" ]; then
	git archive --output="$work/files" "$commit"
else
	git ls-files -z --cached --others --exclude-standard >"$work/names"
	tar --create --null --ignore-failed-read --files-from="$work/names" --file="$work/files"
fi
tar --extract --directory="$root$repository" --file="$work/files"
add "$repository/.venv"
add "$repository/.cache/tests/runtimes"
interpreter=$(.venv/bin/python -c 'import sys; print(sys.base_prefix)')
if [ "$interpreter" != /usr ]; then
	add "$interpreter"
elif ! [ -x "$root$(readlink -f .venv/bin/python)" ]; then
	fail "Debian $release lacks this host's Python: make .venv with one of uv's (uv sync --frozen --managed-python)"
fi

cat >"$root/vm-tests" <<'END'
#!/bin/bash
# Runs as process 1 after the initial ramdisk. Arguments: arrangement of control groups, directory, pytest's arguments.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb
cgroups=$1 repository=$2
shift 2
groups=/sys/fs/cgroup

v1() { # as systemd mounts them
	mount -t tmpfs -o mode=755 tmpfs $groups
	for together in name=systemd cpu,cpuacct net_cls,net_prio cpuset blkio memory devices freezer perf_event hugetlb \
		pids rdma misc; do
		name=${together#name=}
		mkdir $groups/$name
		option=$together
		[ $name = $together ] || option=none,$together
		if ! mount -t cgroup -o $option cgroup $groups/$name 2>/dev/null; then rmdir $groups/$name; continue; fi
		case $together in *,*) for part in ${together//,/ }; do ln -s $name $groups/$part; done ;; esac
	done
	echo 1 >$groups/memory/memory.use_hierarchy 2>/dev/null
}
v2() { mount -t cgroup2 -o nsdelegate cgroup2 $1; }

mountpoint -q /proc || mount -t proc proc /proc
mountpoint -q /sys || mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mountpoint -q /run || mount -t tmpfs tmpfs /run
ln -sfn /proc/self/fd /dev/fd
modprobe -a overlay loop
hostname lamella-vm
case $cgroups in
	v1) v1 ;;
	v2) v2 $groups; echo "+memory +pids" >$groups/cgroup.subtree_control ;; # what systemd hands down; not cpu
	hybrid) v1; mkdir $groups/unified; v2 $groups/unified ;;
esac
# In a group of their own, as below systemd: the root group is free of rules that bind all others.
for root in $groups $groups/*; do
	[ -e $root/cgroup.procs ] && [ ! -L $root ] || continue
	mkdir $root/session
	[ ! -e $root/cpuset.mems ] || for what in cpus mems; do cat $root/cpuset.$what >$root/session/cpuset.$what; done
	echo $$ >$root/session/cgroup.procs || echo "cannot enter $root/session"
done
cd "$repository"
# The loopback interface comes up: SIOCSIFFLAGS with IFF_UP.
.venv/bin/python -c 'import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sH22x", b"lo", 1))'

echo "vm: Linux $(uname -r), $(nproc) processors, cgroup mounts:"
grep -w "cgroup2\?" /proc/mounts | cut -d" " -f2-4
.venv/bin/lamella doctor
.venv/bin/pytest -q -p no:cacheprovider "$@"
echo "vm: pytest ended with status $?"
sync
echo b >/proc/sysrq-trigger
sleep 60
END
chmod 755 "$root/vm-tests"

# The kernel's parameters cannot hold everything that pytest's arguments may be, so those travel in a file.
{
	printf 'exec /vm-tests %s %s' "$cgroups" "'$repository'"
	for argument; do printf " '%s'" "$(printf %s "$argument" | sed "s/'/'\\\\''/g")"; done
	echo
} >"$root/vm-init"
say "making the disk"
mke2fs -q -t ext4 -d "$root" "$work/disk" 8G
rm -rf "$root" "$work/files"

# --- boot ---------------------------------------------------------------------------------------------------------
starts_with_kvm() { # it may be there and not work, as inside some other virtual machines
	[ -w /dev/kvm ] || return 1
	timeout 20 qemu-system-x86_64 -accel kvm -cpu host -m 512 -nographic -nic none -no-reboot -kernel "$kernel" \
		-append "console=ttyS0 panic=-1" 2>/dev/null </dev/null | grep -q "Linux version"
}
[ -n "$accel" ] || if starts_with_kvm; then accel=kvm; else accel=tcg; fi
case $accel in
	kvm) speed="-accel kvm -cpu host -smp 2" ;;
	# The clock counts instructions, two nanoseconds each, and skips idle time: no time limit passes early because
	# emulation is slow. It takes a single processor.
	tcg) speed="-accel tcg -cpu max -smp 1 -icount shift=1,sleep=off" ;;
esac
log=$cache/$cgroups.log
say "starting $(basename "$kernel") with cgroups $cgroups ($accel); the console is in .cache/vm/$cgroups.log"
# shellcheck disable=SC2086  # a list of words
timeout "$timeout_s" qemu-system-x86_64 $speed -m 3G -nographic -nic none -no-reboot \
	-kernel "$kernel" -initrd "$initrd" -drive "file=$work/disk,format=raw,if=virtio,cache=unsafe" \
	-append "console=ttyS0 root=/dev/vda rw quiet panic=-1 init=/bin/bash -- /vm-init" </dev/null | tee "$log"
status=$(sed -n 's/.*vm: pytest ended with status \([0-9]*\).*/\1/p' "$log")
[ -n "$status" ] || fail "the tests did not end: see .cache/vm/$cgroups.log"
exit "$status"
