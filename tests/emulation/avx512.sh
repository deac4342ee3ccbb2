#!/bin/sh
# Runs a statically linked x86-64 Linux program under an emulated CPU which has AVX-512,
# on a machine that need not have it. See usage() below.
#
# How: the Bochs emulator, built here from Debian 13's source package (Debian 12's own 2.7
# lacks AVX512_BF16), boots Debian 12's cloud kernel with nothing but a tiny init and the
# program in its initramfs. A 64 KiB ROM of our own stands in for the BIOS: Bochs loads the
# RAM image, the ROM enters long mode and jumps to the kernel, so that no boot loader, disk
# or firmware is needed. The program's output leaves through Bochs' parallel ports.
set -eu
LC_ALL=C
export LC_ALL

recipe=2 # raise it when how Bochs is fetched or built changes
bochs_tar='bochs_3.0+dfsg.orig.tar.xz'
bochs_sha=78f6c73d4a6472d5130a87ab9dc306d02c7c71ed8e25b3a8ef642e2a7acd282b
bochs_suite=trixie
kernel_suite=bookworm
kernel_meta=linux-image-cloud-amd64

usage() {
	cat <<'EOF'
usage: sh avx512.sh [--timeout SECONDS] [--cpu MODEL] [--memory MIB] BINARY [ARGS...]
       sh avx512.sh --prepare
       sh avx512.sh --help

Runs BINARY, a statically linked x86-64 Linux program, under the Bochs emulator with an
AVX-512 CPU. Its stdout and stderr are passed through, its exit status is ours.

  --timeout SECONDS  wall-clock limit of the emulation, boot included (default 600)
  --cpu MODEL        CPU model of Bochs (default sapphire_rapids: AVX-512 F, CD, BW, DQ, VL,
                     IFMA, VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ, BF16, FP16); others are
                     corei7_skylake_x (F, CD, BW, DQ, VL), corei7_icelake_u, tigerlake,
                     corei7_haswell_4770 (AVX2), corei7_sandy_bridge_2600k (AVX),
                     core2_penryn_t9600 (SSE4.1)
  --memory MIB       the guest's memory, a multiple of 8 up to 2048 (default 1024)
  --prepare          only fetch and build what is needed (some minutes the first time)

In the guest BINARY is /test, the working directory is /, stdin is empty, there is one CPU
and no network; /proc, /sys, /dev and a /tmp in memory are there, the host's files are not.
Environment variables named SBORA_* are passed on. Time in the guest is emulated.

Exit status: BINARY's; 128+N if signal N ended it; 124 on timeout; 2 (and one line that
says why) if something needed is missing or failed.

The emulator and the kernel are kept in ${SBORA_CACHE:-${XDG_CACHE_HOME:-~/.cache}/sbora}/avx512.
SBORA_DEBIAN_MIRROR names the Debian mirror to use; by default apt's own sources tell.
EOF
}

die() {
	printf 'avx512.sh: %s\n' "$*" >&2
	exit 2
}

limit=600 cpu=sapphire_rapids memory=1024 prepare=
while [ $# -gt 0 ]; do
	case $1 in
	--help | -h) usage; exit 0 ;;
	--prepare) prepare=1; shift ;;
	--timeout | --cpu | --memory)
		[ $# -ge 2 ] || die "$1 needs a value (see --help)"
		case $1 in
		--timeout) limit=$2 ;;
		--cpu) cpu=$2 ;;
		--memory) memory=$2 ;;
		esac
		shift 2 ;;
	--) shift; break ;;
	-*) die "unknown option $1 (see --help)" ;;
	*) break ;;
	esac
done
case $limit in '' | *[!0-9]*) die "--timeout wants whole seconds, not '$limit'" ;; esac
case $cpu in '' | *[!a-z0-9_]*) die "--cpu wants a model's name, not '$cpu'" ;; esac
case $memory in '' | *[!0-9]*) die "--memory wants MiB, not '$memory'" ;; esac
[ "$memory" -ge 128 ] && [ "$memory" -le 2048 ] && [ $((memory % 8)) -eq 0 ] ||
	die "--memory wants a multiple of 8 from 128 to 2048, not '$memory'"
if [ -z "$prepare" ]; then
	[ $# -ge 1 ] || { usage >&2; exit 2; }
	[ -f "$1" ] && [ -r "$1" ] || die "no readable file '$1'"
fi
[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || die "needs an x86-64 Linux host"

if [ -n "${SBORA_CACHE:-}" ]; then
	cache=$SBORA_CACHE/avx512
elif [ -n "${XDG_CACHE_HOME:-}" ]; then
	cache=$XDG_CACHE_HOME/sbora/avx512
elif [ -n "${HOME:-}" ]; then
	cache=$HOME/.cache/sbora/avx512
else
	die "none of SBORA_CACHE, XDG_CACHE_HOME and HOME is set"
fi
mkdir -p "$cache" 2>/dev/null && cache=$(cd "$cache" && pwd) || die "cannot make the cache folder $cache"

work=$(mktemp -d) || die "cannot make a temporary folder"
emu='' copy1='' copy2=''
# shellcheck disable=SC2317 # by the traps
cleanup() {
	status=$?
	trap - EXIT HUP INT TERM
	for p in $emu $copy1 $copy2; do kill "$p" 2>/dev/null || :; done
	rm -rf "$work"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# -------------------------------------------------------------------------------- tools

have() { command -v "$1" >/dev/null 2>&1; }

need() { # need COMMAND=PACKAGE...: installs the packages of the commands that are missing
	missing=
	for pair; do
		have "${pair%%=*}" || missing="$missing ${pair#*=}"
	done
	echo 'int main(void) { return 0; }' >"$work/libc.c"
	if have gcc && ! gcc -static -o "$work/libc" "$work/libc.c" 2>/dev/null; then
		missing="$missing libc6-dev"
	fi
	[ -n "$missing" ] || return 0
	have apt-get || die "missing:$missing (and there is no apt-get to install that with)"
	if [ "$(id -u)" -eq 0 ]; then
		root=
	elif have sudo && sudo -n true 2>/dev/null; then
		root='sudo -n'
	else
		die "missing packages:$missing (install them, or run as root or with sudo)"
	fi
	apt="$root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -q -y"
	# shellcheck disable=SC2086
	{ $apt install --no-install-recommends $missing ||
		{ $apt update && $apt install --no-install-recommends $missing; }; } >"$work/install.log" 2>&1 ||
		die "cannot install the packages:$missing ($(tail -n 1 "$work/install.log"))"
}

mirror() {
	if [ -n "${SBORA_DEBIAN_MIRROR:-}" ]; then
		printf '%s\n' "$SBORA_DEBIAN_MIRROR"
		return
	fi
	cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
		grep -v '^[[:space:]]*#' | grep -oE '(https?|file|copy|mirror|ftp)://?[^] ]*/debian/?([[:space:]]|$)' |
		head -n 1 | tr -d '[:space:]'
}

# apt with lists of its own: the two suites wanted, whatever the machine itself has
private_apt() {
	tool=$1
	shift
	"$tool" -q -o Dir::Etc::SourceList="$work/apt/sources.list" -o Dir::Etc::SourceParts=- \
		-o Dir::State::Lists="$work/apt/lists" -o Dir::Cache="$work/apt/cache" \
		-o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=- \
		-o Acquire::Languages=none -o Acquire::Retries=3 -o APT::Sandbox::User= "$@"
}

lists() {
	[ ! -e "$work/apt/sources.list" ] || return 0
	have apt-get || die "needs apt-get to fetch Bochs and a kernel"
	url=$(mirror)
	[ -n "$url" ] || die "found no Debian mirror in apt's sources (set SBORA_DEBIAN_MIRROR)"
	keys=/usr/share/keyrings/debian-archive-keyring.gpg
	[ -r "$keys" ] || die "missing $keys (package debian-archive-keyring)"
	mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial"
	cat >"$work/apt/sources.list" <<EOF
deb [arch=amd64 signed-by=$keys] $url $kernel_suite main
deb-src [signed-by=$keys] $url $bochs_suite main
EOF
	private_apt apt-get update >"$work/update.log" 2>&1 ||
		die "cannot fetch Debian's package lists: $(grep '^E:' "$work/update.log" | head -n 1)"
}

get_kernel() {
	[ ! -s "$cache/vmlinuz" ] || return 0
	echo 'avx512.sh: fetching a kernel' >&2
	lists
	kernel=$(private_apt apt-cache depends "$kernel_meta" 2>/dev/null |
		sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1)
	[ -n "$kernel" ] || die "apt knows no kernel behind $kernel_meta in $kernel_suite"
	mkdir "$work/kernel"
	(cd "$work/kernel" && private_apt apt-get download "$kernel") >"$work/kernel.log" 2>&1 &&
		dpkg-deb -x "$work"/kernel/*.deb "$work/kernel" >>"$work/kernel.log" 2>&1 ||
		die "cannot fetch the package $kernel ($(tail -n 1 "$work/kernel.log"))"
	set -- "$work"/kernel/boot/vmlinuz-*
	[ -s "$1" ] || die "no kernel in the package $kernel"
	cp "$1" "$cache/vmlinuz.new" && mv "$cache/vmlinuz.new" "$cache/vmlinuz" || die "cannot write to $cache"
	rm -rf "$work/kernel"
}

get_bochs() {
	bochs=$cache/bochs-$recipe
	[ ! -x "$bochs" ] || return 0
	need xz=xz-utils make=make g++=g++
	echo 'avx512.sh: fetching and building Bochs (takes some minutes, once)' >&2
	lists
	mkdir "$work/bochs"
	# A mirror may lack the .dsc, which is not needed here, so the exit status says little.
	(cd "$work/bochs" && private_apt apt-get source --download-only bochs) >"$work/source.log" 2>&1 || :
	[ -s "$work/bochs/$bochs_tar" ] ||
		die "cannot fetch $bochs_tar, the source of package bochs in $bochs_suite ($(tail -n 1 "$work/source.log"))"
	(cd "$work/bochs" && echo "$bochs_sha  $bochs_tar" | sha256sum -c --status) ||
		die "$bochs_tar is not the expected file"
	mkdir "$work/bochs/src" "$work/bochs/build"
	tar -xJf "$work/bochs/$bochs_tar" -C "$work/bochs/src" --strip-components=1 || die "cannot unpack $bochs_tar"
	# Two bugs of Bochs 3.0: VCVTNE2PS2BF16 reads past its first source for the upper half,
	# VCVTNEPS2BF16 zeroes the elements which a merging mask leaves out.
	bf=$work/bochs/src/cpu/avx/avx512_bf16.cc
	sed -i -e 's/(op1\.vmm32u(n));$/(op1.vmm32u(n - DWORD_ELEMENTS(len)));/' \
		-e 's/simd_pblendw(&BX_READ_AVX_REG(i->dst()), &dst, opmask, num_elements)/simd_pblendw(\&dst, \&BX_READ_AVX_REG(i->dst()), ~opmask, num_elements)/' "$bf"
	[ "$(grep -c -e 'op1\.vmm32u(n - DWORD_ELEMENTS(len))' -e 'simd_pblendw(&dst, .*~opmask' "$bf")" -eq 2 ] ||
		die "cannot correct Bochs' BF16 conversions"
	# A third: gathers by vector registers from 16 on are taken for illegal instructions.
	decoder=$work/bochs/src/cpu/decoder/fetchdecode32.cc
	sed -i 's/i->setSibIndex(i->sibIndex() | (vvv & 0x10));/& vvv \&= 0xf;/' "$decoder"
	grep -q '(vvv & 0x10)); vvv &= 0xf;' "$decoder" || die "cannot correct Bochs' gathers"
	(
		unset CFLAGS CXXFLAGS CPPFLAGS LDFLAGS LIBS
		cd "$work/bochs/build"
		../src/configure --with-nogui --without-x --enable-cpu-level=6 --enable-x86-64 --enable-fpu \
			--enable-avx --enable-evex --enable-all-optimizations --disable-pci --disable-debugger \
			--disable-debugger-gui --disable-iodebug --disable-plugins --disable-cdrom --disable-docbook \
			--disable-gameport --disable-stats --disable-readline --disable-perfmon --disable-xpm \
			CC=gcc CXX=g++ CFLAGS='-O2 -pipe -w' CXXFLAGS='-O2 -pipe -w' &&
			make -j"$(nproc)"
	) >"$work/build.log" 2>&1 </dev/null || {
		cp "$work/build.log" "$cache/build.log"
		die "cannot build Bochs (see $cache/build.log)"
	}
	strip -o "$bochs.new" "$work/bochs/build/bochs" && mv "$bochs.new" "$bochs" || die "cannot write to $cache"
	rm -rf "$work/bochs"
}

# ------------------------------------------------- the ROM, the init and the image's maker

get_parts() {
	sum=$(sha256sum <"$0" | cut -c 1-16)
	parts=$cache/parts-$sum
	[ ! -d "$parts" ] || return 0
	new=$work/parts
	mkdir "$new"
	cat >"$work/rom.S" <<'EOF'
/* Stands in for the BIOS: enters long mode and jumps to the kernel that Bochs put into RAM. */
#define OFF(x) ((x) - base)
	.code16
	.globl base
base:
	.org 0x1000
start16:
	cli
	cld
	lgdtl	%cs:OFF(gdtr)
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmpl	$0x08, $start32
	.code32
start32:
	movw	$0x18, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	$0x7000, %esp
	/* Bochs hands out host memory per 8 MiB block in the order of first use,
	   yet has read the one RAM image contiguously: touch the blocks in order. */
	xorl	%esi, %esi
1:	movl	(%esi), %eax
	addl	$0x800000, %esi
	cmpl	0x6ff8, %esi
	jb	1b
	movl	$0x20, %eax			/* CR4.PAE */
	movl	%eax, %cr4
	movl	$0x9000, %eax			/* page tables in the image */
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx		/* EFER.LME */
	rdmsr
	orl	$0x100, %eax
	wrmsr
	movl	%cr0, %eax
	orl	$0x80000000, %eax
	movl	%eax, %cr0
	ljmpl	$0x10, $start64
	.code64
start64:
	xorl	%ebx, %ebx
	xorl	%ebp, %ebp
	xorl	%edi, %edi
	movl	$0x8000, %esi			/* boot_params */
	movl	0x6ff0, %eax			/* kernel entry */
	jmp	*%rax
	.balign 8
gdt:	.quad 0
	.quad 0x00cf9b000000ffff
	.quad 0x00af9b000000ffff
	.quad 0x00cf93000000ffff
gdtr:	.word gdtr - gdt - 1
	.long gdt
	.org 0xfff0
	.code16
	jmp	start16
	.org 0x10000
EOF
	cat >"$work/init.c" <<'EOF'
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A parallel port of Bochs appends a byte to its file at each strobe. */
static void lpt(unsigned short base, const unsigned char *p, size_t n)
{
	outb(0x08, base + 2);
	for (; n; n--, p++) {
		outb(*p, base);
		outb(0x09, base + 2);
		outb(0x08, base + 2);
	}
}

static void say(const char *s) /* to COM1, the console log */
{
	for (; *s; s++) {
		while (!(inb(0x3f8 + 5) & 0x20))
			;
		outb((unsigned char)*s, 0x3f8);
	}
	while ((inb(0x3f8 + 5) & 0x60) != 0x60)
		;
}

static void finish(int code)
{
	char line[64];
	const char *off = "Shutdown";

	snprintf(line, sizeof line, "\nEMULATED-EXIT %d\n", code);
	say(line);
	for (; *off; off++)
		outb((unsigned char)*off, 0x8900);
	for (;;)
		pause();
}

static char **list(const char *name, int first)
{
	static char *empty[] = { "/test", 0 };
	struct stat st;
	int fd = open(name, O_RDONLY);
	char *buf, **v;
	size_t n = 0, k = 0;
	ssize_t r;

	if (fd < 0 || fstat(fd, &st) || !(buf = malloc(st.st_size + 1)) ||
	    !(v = malloc((st.st_size + 3) * sizeof *v)))
		return empty;
	while (n < (size_t)st.st_size && (r = read(fd, buf + n, st.st_size - n)) > 0)
		n += r;
	close(fd);
	if (first)
		v[k++] = "/test";
	for (size_t i = 0; i < n; i += strlen(buf + i) + 1)
		v[k++] = buf + i;
	v[k] = 0;
	return v;
}

int main(void)
{
	int out[2], err[2], status = 0, live = 2;
	pid_t pid;
	struct pollfd p[2];
	static const unsigned short port[2] = { 0x378, 0x278 };
	static unsigned char buf[65536];

	if (iopl(3))
		for (;;)
			pause();
	mkdir("/proc", 0755), mkdir("/sys", 0755), mkdir("/dev", 0755), mkdir("/tmp", 01777);
	mount("proc", "/proc", "proc", 0, 0);
	mount("sysfs", "/sys", "sysfs", 0, 0);
	mount("devtmpfs", "/dev", "devtmpfs", 0, 0);
	say("\nEMULATED-START\n");
	if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC) || (pid = fork()) < 0)
		finish(2);
	if (!pid) {
		int in = open("/dev/null", O_RDONLY);
		char **av = list("/args", 1), **ev = list("/env", 0);

		iopl(0);
		dup2(in, 0), dup2(out[1], 1), dup2(err[1], 2);
		setsid();
		execve("/test", av, ev);
		dprintf(2, "avx512.sh: cannot execute the binary in the guest: %s\n", strerror(errno));
		_exit(127);
	}
	close(out[1]), close(err[1]);
	p[0].fd = out[0], p[1].fd = err[0];
	p[0].events = p[1].events = POLLIN;
	for (int gone = 0; live;) {
		if (!gone && waitpid(pid, &status, WNOHANG) == pid)
			gone = 1;
		int k = poll(p, 2, gone ? 0 : 20);
		if (k <= 0) {
			if (gone)
				break; /* nothing more to read, though a grandchild may live */
			continue;
		}
		for (int i = 0; i < 2; i++)
			if (p[i].fd >= 0 && p[i].revents) {
				ssize_t n = read(p[i].fd, buf, sizeof buf);
				if (n > 0)
					lpt(port[i], buf, n);
				else
					p[i].fd = -1, live--;
			}
		if (!live && !gone)
			waitpid(pid, &status, 0);
	}
	if (WIFSIGNALED(status)) {
		int n = snprintf((char *)buf, sizeof buf, "avx512.sh: the binary was ended by signal %d (%s)\n",
				 WTERMSIG(status), strsignal(WTERMSIG(status)));
		lpt(port[1], buf, n);
		finish(128 + WTERMSIG(status));
	}
	finish(WEXITSTATUS(status));
}
EOF
	cat >"$work/mkimg.c" <<'EOF'
/* mkimg MIB BZIMAGE INIT BINARY ARGS ENV OUT CMDLINE: lays out guest RAM from address 0. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned char *ram;
static size_t top, end; /* top: end of what is used; end: size of the guest's RAM */

static void die(const char *what, const char *name)
{
	fprintf(stderr, "%s%s\n", what, name);
	exit(1);
}
static unsigned char *slurp(const char *name, size_t *n)
{
	FILE *f = fopen(name, "rb");
	unsigned char *p;
	long k;

	if (!f || fseek(f, 0, SEEK_END) || (k = ftell(f)) < 0 || !(p = malloc(k + 1)))
		die("cannot read ", name);
	rewind(f);
	if (fread(p, 1, k, f) != (size_t)k)
		die("cannot read ", name);
	fclose(f);
	*n = k;
	return p;
}
static void put(size_t at, const void *p, size_t n)
{
	if (at + n > end)
		die("the binary does not fit into the guest's memory", "");
	memcpy(ram + at, p, n);
	if (at + n > top)
		top = at + n;
}
static void put32(size_t at, uint32_t v) { put(at, &v, 4); }
static void put64(size_t at, uint64_t v) { put(at, &v, 8); }

static size_t cpio(size_t at, const char *name, unsigned mode, unsigned rmaj, unsigned rmin, const void *p, size_t n)
{
	static unsigned ino = 1;
	char h[256];

	sprintf(h, "070701%08X%08X%08X%08X%08X%08X%08zX%08X%08X%08X%08X%08zX%08X", ino++, mode, 0, 0, 1, 0, n, 0, 0,
		rmaj, rmin, strlen(name) + 1, 0);
	put(at, h, 110);
	put(at + 110, name, strlen(name) + 1);
	at = (at + 110 + strlen(name) + 1 + 3) & ~(size_t)3;
	put(at, p, n);
	return (at + n + 3) & ~(size_t)3;
}

int main(int c, char **v)
{
	const size_t kernel = 0x1000000, zp = 0x8000;
	size_t n, at, initrd, entry;
	unsigned char *k, *p;
	uint32_t init_size;
	FILE *f;

	if (c != 9)
		die("usage: mkimg MIB BZIMAGE INIT BINARY ARGS ENV OUT CMDLINE", "");
	end = strtoul(v[1], 0, 10) << 20;
	if (!(ram = calloc(end, 1)))
		die("out of memory", "");
	k = slurp(v[2], &n);
	if (n < 0x1000 || memcmp(k + 0x202, "HdrS", 4) || !(k[0x236] & 1))
		die("not a 64-bit kernel: ", v[2]);
	memcpy(&init_size, k + 0x260, 4);
	at = ((k[0x1f1] ? k[0x1f1] : 4) + 1) * 512;
	put(kernel, k + at, n - at);
	entry = kernel + 0x200;
	put(zp + 0x1f1, k + 0x1f1, 0x202 + k[0x201] - 0x1f1);
	initrd = (kernel + init_size + 0xfffff) & ~(size_t)0xfffff;
	at = initrd;
	p = slurp(v[3], &n);
	at = cpio(at, "dev", 0040755, 0, 0, "", 0);
	at = cpio(at, "dev/console", 0020600, 5, 1, "", 0);
	at = cpio(at, "init", 0100755, 0, 0, p, n);
	p = slurp(v[4], &n);
	at = cpio(at, "test", 0100755, 0, 0, p, n);
	p = slurp(v[5], &n);
	at = cpio(at, "args", 0100644, 0, 0, p, n);
	p = slurp(v[6], &n);
	at = cpio(at, "env", 0100644, 0, 0, p, n);
	at = cpio(at, "TRAILER!!!", 0, 0, 0, "", 0);
	/* boot_params */
	put(zp + 0x210, "\xff", 1); /* type_of_loader */
	put32(zp + 0x218, initrd);
	put32(zp + 0x21c, at - initrd);
	put(0x20000, v[8], strlen(v[8]) + 1);
	put32(zp + 0x228, 0x20000);
	put(zp + 0x1e8, "\3", 1); /* memory map: three entries */
	put64(zp + 0x2d0, 0), put64(zp + 0x2d8, 0x9fc00), put32(zp + 0x2e0, 1);
	put64(zp + 0x2e4, 0xf0000), put64(zp + 0x2ec, 0x10000), put32(zp + 0x2f4, 2);
	put64(zp + 0x2f8, 0x100000), put64(zp + 0x300, end - 0x100000), put32(zp + 0x308, 1);
	/* page tables: the first 4 GiB mapped one to one */
	put64(0x9000, 0xa003);
	for (unsigned i = 0; i < 4; i++)
		put64(0xa000 + 8 * i, 0xb003 + 0x1000 * i);
	for (unsigned i = 0; i < 2048; i++)
		put64(0xb000 + 8 * i, ((uint64_t)i << 21) | 0x83);
	put32(0x6ff0, entry);
	put32(0x6ff8, end);
	if (!(f = fopen(v[7], "wb")))
		die("cannot write ", v[7]);
	for (size_t i = 0; i < top; i += 4096) { /* leave holes */
		size_t m = top - i < 4096 ? top - i : 4096, z = 0;
		while (z < m && !ram[i + z])
			z++;
		if (z == m && i + m < top ? fseek(f, m, SEEK_CUR) != 0 : fwrite(ram + i, 1, m, f) != m)
			die("cannot write ", v[7]);
	}
	if (fclose(f))
		die("cannot write ", v[7]);
	return 0;
}
EOF
	{
		gcc -m64 -c -o "$work/rom.o" "$work/rom.S" &&
			ld -m elf_x86_64 -Ttext=0xf0000 -e base -o "$work/rom.elf" "$work/rom.o" &&
			objcopy -O binary -j .text "$work/rom.elf" "$new/rom.bin" &&
			[ "$(wc -c <"$new/rom.bin")" -eq 65536 ] &&
			gcc -O2 -w -static -s -o "$new/init" "$work/init.c" &&
			gcc -O2 -w -o "$new/mkimg" "$work/mkimg.c" &&
			head -c 512 /dev/zero >"$new/vga.bin"
	} >"$work/parts.log" 2>&1 || die "cannot compile the boot parts: $(head -n 1 "$work/parts.log")"
	rm -rf "$cache"/parts-*.new
	cp -r "$new" "$parts.new" && mv "$parts.new" "$parts" || die "cannot write to $cache"
	for old in "$cache"/parts-*; do # of earlier versions of this script
		[ "$old" = "$parts" ] || [ -z "$(find "$old" -maxdepth 0 -mmin +1440 2>/dev/null)" ] || rm -rf "$old"
	done
}

need gcc=gcc ld=binutils objcopy=binutils readelf=binutils flock=util-linux timeout=coreutils
(flock 9 || exit 1
	get_kernel && get_bochs && get_parts) 9>"$cache/lock" || exit 2
bochs=$cache/bochs-$recipe
parts=$cache/parts-$(sha256sum <"$0" | cut -c 1-16)
[ -z "$prepare" ] || exit 0

# ---------------------------------------------------------------------------------- run

binary=$1
shift
readelf -h "$binary" 2>/dev/null | grep -q 'Machine:.*X86-64' || die "'$binary' is not an x86-64 ELF program"
if readelf -lW "$binary" 2>/dev/null | grep -q '^ *INTERP '; then
	die "'$binary' is not statically linked (link it with -static)"
fi

: >"$work/args"
[ $# -eq 0 ] || printf '%s\0' "$@" >"$work/args"
{
	printf 'HOME=/tmp\0PATH=/\0TMPDIR=/tmp\0'
	env -0 | grep -z '^SBORA_' | grep -zv '^SBORA_\(CACHE\|DEBIAN_MIRROR\)=' || :
} >"$work/env"

# clearcpuid: this CPU says fast short rep mov, yet not (its BIOS would have to enable it)
# the longer rep mov, which the kernel's memmove takes for granted then.
ips=50
cmdline="console=ttyS0 quiet nokaslr mitigations=off no5lvl acpi=off clearcpuid=fsrm random.trust_cpu=on"
cmdline="$cmdline tsc_early_khz=${ips}000 panic=-1"
"$parts/mkimg" "$memory" "$cache/vmlinuz" "$parts/init" "$binary" "$work/args" "$work/env" "$work/ram.img" \
	"$cmdline" 2>"$work/mkimg.log" || die "cannot make the RAM image: $(head -n 1 "$work/mkimg.log")"

cat >"$work/bochsrc" <<EOF
config_interface: textconfig
display_library: nogui
cpu: model=$cpu, count=1, ips=${ips}000000, reset_on_triple_fault=0
memory: guest=$memory, host=$memory, block_size=8192
romimage: file=$parts/rom.bin, address=0xffff0000
vgaromimage: file=$parts/vga.bin
optramimage1: file=ram.img, address=0x0
clock: sync=none, time0=utc
com1: enabled=1, mode=file, dev=console
parport1: enabled=1, file=stdout
parport2: enabled=1, file=stderr
log: bochs.log
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
EOF
: >"$work/stdout"
: >"$work/stderr"
: >"$work/console"
(cd "$work" && exec timeout -k 5 "$limit" "$bochs" -q -f bochsrc) </dev/null >"$work/bochs.out" 2>&1 &
emu=$!
tail -c +1 -f -s 0.1 --pid="$emu" "$work/stdout" 2>/dev/null &
copy1=$!
tail -c +1 -f -s 0.1 --pid="$emu" "$work/stderr" >&2 2>/dev/null &
copy2=$!
ended=0
wait "$emu" || ended=$?
emu=
wait "$copy1" || :
wait "$copy2" || :
copy1='' copy2=''

status=$(tr -d '\r' <"$work/console" | sed -n 's/^EMULATED-EXIT \([0-9]*\)$/\1/p' | tail -n 1)
[ -z "$status" ] || exit "$status"
case $ended in
124 | 137)
	printf 'avx512.sh: timed out after %s s\n' "$limit" >&2
	exit 124 ;;
esac
panic=$(grep -hE 'PANIC' "$work/bochs.out" "$work/bochs.log" 2>/dev/null | head -n 1)
[ -s "$work/console" ] || die "Bochs did not boot with CPU model $cpu: $panic"
tail -n 15 "$work/console" >&2
die "the guest ended without an exit status (Bochs: $ended)"
