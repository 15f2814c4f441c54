/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/attach.h"

#include <cpuid.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vio/port.h"

#define UML_XSTATE "libpktvirt-uml-xstate.so"
#define UML_AREA_BYTES 2696 /* of the registers that User-mode Linux knows; see apps/uml-xstate */
#define CPUID_XSTATE 0xd

const char *const pv_attach_kinds[] = { "qemu", "libvirt", "uml", "virtio-user", NULL };

/* What the lines are made of. */
struct facts {
	const char *name;
	char socket[PATH_MAX + 128];
	bool guest_listens; /* pktvirt is the client */
	unsigned int queues;
	char mac[18];
	char images[PATH_MAX]; /* folder of the guest image, or "" */
	bool kvm;
	char preload[PATH_MAX + 64]; /* what User-mode Linux needs on this processor, with a blank behind it, or "" */
};

/* The folder of the program, or "". */
static void
find_program(char program[PATH_MAX])
{
	ssize_t length = readlink("/proc/self/exe", program, PATH_MAX - 1);
	char *end;

	program[length > 0 ? length : 0] = '\0';
	if ((end = strrchr(program, '/')) != NULL)
		*end = '\0';
}

/* Where bench/guest puts its images: beside the folder of the program, in the build folder. */
static void
find_images(struct facts *facts)
{
	const char *given = getenv("PKTVIRT_GUEST_DIR");
	char program[PATH_MAX], *end;

	if (given != NULL) {
		snprintf(facts->images, sizeof(facts->images), "%s", given);
		return;
	}
	find_program(program);
	if ((end = strrchr(program, '/')) != NULL)
		*end = '\0';
	if (snprintf(facts->images, sizeof(facts->images), "%s/guest", program) >= (int)sizeof(facts->images))
		facts->images[0] = '\0';
}

static bool
has_image(const struct facts *facts, const char *file)
{
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/%s", facts->images, file);
	return facts->images[0] != '\0' && access(path, R_OK) == 0;
}

/* KVM where the launcher's probe has booted a kernel with it, or, without a probe, where there is /dev/kvm. */
static bool
find_kvm(const struct facts *facts)
{
	char path[PATH_MAX + 32], word[8] = "";
	FILE *file;

	snprintf(path, sizeof(path), "%s/accel", facts->images);
	file = fopen(path, "re");
	if (file == NULL)
		return access("/dev/kvm", R_OK | W_OK) == 0;
	if (fgets(word, sizeof(word), file) == NULL)
		word[0] = '\0';
	fclose(file);
	return strncmp(word, "kvm", 3) == 0;
}

/* A processor with AMX, for one, has more registers than User-mode Linux; it is helped then. */
static void
find_preload(struct facts *facts)
{
	unsigned int eax, area, ecx, edx;
	char program[PATH_MAX], library[PATH_MAX + 64];

	if (__get_cpuid_count(CPUID_XSTATE, 0, &eax, &area, &ecx, &edx) == 0 || area <= UML_AREA_BYTES)
		return;
	find_program(program);
	snprintf(library, sizeof(library), "%s/uml-xstate/%s", program, UML_XSTATE);
	if (access(library, R_OK) != 0)
		snprintf(library, sizeof(library), "%s/%s", PV_LIBEXEC_DIR, UML_XSTATE);
	if (snprintf(facts->preload, sizeof(facts->preload), "LD_PRELOAD=%s ", library) >= (int)sizeof(facts->preload))
		facts->preload[0] = '\0';
}

/* The port's own address, or one of ours whose last byte tells the ports apart. */
static void
choose_mac(const struct pv_port *port, char mac[18])
{
	const uint8_t made[6] = {
		0x52, 0x54, 0x00, 0x70, (uint8_t)(0x76 + (port->id + 1) / 256), (uint8_t)(port->id + 1)
	};

	pv_mac_format(port->mac.set ? port->mac.bytes : made, mac);
}

static char *
text(const char *fmt, ...)
{
	va_list list;
	char *result;

	va_start(list, fmt);
	if (vasprintf(&result, fmt, list) < 0)
		result = NULL;
	va_end(list);
	return result;
}

static char *
qemu_lines(const struct facts *facts)
{
	char queues[32] = "", device[64] = "", boot[3 * PATH_MAX];

	if (facts->queues > 1)
		snprintf(queues, sizeof(queues), ",queues=%u", facts->queues);
	/* QEMU 7.2 under TCG crashes with MSI-X and vhost. */
	snprintf(device, sizeof(device), "%s,vectors=%u", facts->queues > 1 ? ",mq=on" : "",
		 facts->kvm ? 2 * facts->queues + 2 : 0);
	if (has_image(facts, "qemu.initramfs") && has_image(facts, "qemu.vmlinuz"))
		snprintf(boot, sizeof(boot),
			 "-nodefaults -nographic -serial mon:stdio -no-reboot \\\n"
			 "  -kernel %s/qemu.vmlinuz -initrd %s/qemu.initramfs \\\n"
			 "  -append 'console=ttyS0 quiet rdinit=/init pv.name=%s'",
			 facts->images, facts->images, facts->name);
	else
		snprintf(boot, sizeof(boot), "-nographic -drive file=YOUR-DISK.qcow2,if=virtio");
	return text("qemu-system-x86_64 -M q35 -accel %s -cpu %s -m 512M \\\n"
		    "  -object memory-backend-memfd,id=mem,size=512M,share=on -numa node,memdev=mem \\\n"
		    "  -chardev socket,id=%s,path=%s%s \\\n"
		    "  -netdev vhost-user,id=net0,chardev=%s%s \\\n"
		    "  -device virtio-net-pci,netdev=net0,mac=%s,romfile=%s \\\n"
		    "  %s\n",
		    facts->kvm ? "kvm" : "tcg", facts->kvm ? "host" : "max", facts->name, facts->socket,
		    facts->guest_listens ? ",server=on" : "", facts->name, queues, facts->mac, device, boot);
}

static char *
uml_lines(const struct facts *facts)
{
	char boot[PATH_MAX + 128];

	if (has_image(facts, "uml.initramfs"))
		snprintf(boot, sizeof(boot), "initrd=%s/uml.initramfs rdinit=/init pv.name=%s pv.mac=%s", facts->images,
			 facts->name, facts->mac);
	else
		snprintf(boot, sizeof(boot), "ubd0=YOUR-ROOT-FILE-SYSTEM");
	return text("%slinux.uml mem=256M virtio_uml.device=%s:1:1 \\\n"
		    "  con=null con0=fd:0,fd:1 quiet \\\n"
		    "  %s\n",
		    facts->preload, facts->socket, boot);
}

static char *
libvirt_lines(const struct facts *facts)
{
	char driver[64] = "";

	if (facts->queues > 1)
		snprintf(driver, sizeof(driver), "  <driver queues='%u'/>\n", facts->queues);
	return text("<!-- in <domain>: guest memory must be shared -->\n"
		    "<memoryBacking>\n"
		    "  <source type='memfd'/>\n"
		    "  <access mode='shared'/>\n"
		    "</memoryBacking>\n"
		    "<!-- in <devices> -->\n"
		    "<interface type='vhostuser'>\n"
		    "  <mac address='%s'/>\n"
		    "  <source type='unix' path='%s' mode='%s'/>\n"
		    "  <model type='virtio'/>\n"
		    "%s"
		    "</interface>\n",
		    facts->mac, facts->socket, facts->guest_listens ? "server" : "client", driver);
}

static char *
virtio_user_lines(const struct facts *facts)
{
	char queues[64] = "";

	if (facts->queues > 1)
		snprintf(queues, sizeof(queues), ",queues=%u", facts->queues);
	return text("dpdk-testpmd --in-memory --single-file-segments --no-pci --file-prefix=%s \\\n"
		    "  --vdev net_virtio_user0,path=%s,mac=%s,queue_size=1024%s%s \\\n"
		    "  -- -i\n",
		    facts->name, facts->socket, facts->mac, facts->guest_listens ? ",server=1" : "", queues);
}

static bool
gather(const struct pv_port *port, json_t *detail, struct facts *facts, char *error, size_t size)
{
	const char *socket = json_string_value(json_object_get(detail, "socket"));
	char folder[PATH_MAX];

	*facts = (struct facts){ .name = port->name, .queues = port->queues };
	if (socket == NULL) {
		snprintf(error, size, "port \"%s\" is of type %s; guests attach to ports of type vhost-user",
			 port->name, port->type->name);
		return false;
	}
	/* The lines are pasted elsewhere: a relative path would mean another place there. */
	if (socket[0] == '/' || getcwd(folder, sizeof(folder)) == NULL)
		folder[0] = '\0';
	snprintf(facts->socket, sizeof(facts->socket), "%s%s%s", folder, folder[0] != '\0' ? "/" : "", socket);
	facts->guest_listens = strcmp(json_string_value(json_object_get(detail, "mode")), "client") == 0;
	choose_mac(port, facts->mac);
	find_images(facts);
	facts->kvm = find_kvm(facts);
	find_preload(facts);
	return true;
}

static char *
write_lines(const struct facts *facts, const char *kind, char *error, size_t size)
{
	if (strcmp(kind, "qemu") == 0)
		return qemu_lines(facts);
	if (strcmp(kind, "libvirt") == 0)
		return libvirt_lines(facts);
	if (strcmp(kind, "virtio-user") == 0)
		return virtio_user_lines(facts);
	if (strcmp(kind, "uml") != 0) {
		snprintf(error, size, "no lines for \"%s\": expected qemu, libvirt, uml or virtio-user", kind);
		return NULL;
	}
	if (facts->guest_listens) {
		snprintf(error, size,
			 "a User-mode Linux guest cannot listen: set \"mode\" of port \"%s\" to \"server\"",
			 facts->name);
		return NULL;
	}
	return uml_lines(facts);
}

char *
pv_attach_lines(const struct pv_port *port, const char *kind, char *error, size_t size)
{
	json_t *detail = port->type->report != NULL ? port->type->report(port) : NULL;
	struct facts facts;
	char *lines = NULL;

	if (gather(port, detail, &facts, error, size))
		lines = write_lines(&facts, kind, error, size);
	json_decref(detail);
	return lines;
}
