// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/dnssd_file.h"

#include <string.h>

/* ---- Avahi: avahi.service(5) ---- */

static void avahi_write_text(const char *text, FILE *file)
{
	for (; *text; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", file);
			break;
		case '<':
			fputs("&lt;", file);
			break;
		case '>':
			fputs("&gt;", file);
			break;
		default:
			putc(*text, file);
		}
	}
}

static void avahi_write_service(const struct dnssd_service *service, FILE *file)
{
	static const char *const protocol[] = {
		[DNSSD_ANY] = "any",
		[DNSSD_IPV4] = "ipv4",
		[DNSSD_IPV6] = "ipv6",
	};

	fprintf(file, "  <service protocol=\"%s\">\n    <type>%s</type>\n    <port>%u</port>\n",
		protocol[service->protocol], service->type, service->port);
	for (size_t i = 0; i < service->txt.count; i++) {
		fputs("    <txt-record>", file);
		avahi_write_text(service->txt.string[i], file);
		fputs("</txt-record>\n", file);
	}
	fputs("  </service>\n", file);
}

static void avahi_write(const struct dnssd_service *service, FILE *file)
{
	char name[DNSSD_NAME];

	fputs("<?xml version=\"1.0\" standalone='no'?>\n"
	      "<!-- Written by dmacastctl dnssd; see dmacastctl(8). -->\n"
	      "<!DOCTYPE service-group SYSTEM \"avahi-service.dtd\">\n"
	      "<service-group>\n  <name replace-wildcards=\"yes\">",
	      file);
	avahi_write_text(dnssd_instance_name(service, ' ', name), file);
	fputs(" on %h</name>\n", file);
	avahi_write_service(service, file);
	fputs("</service-group>\n", file);
}

const struct dnssd_format dnssd_avahi = {
	.suffix = "service",
	.directory = "/etc/avahi/services",
	.write = avahi_write,
};

/* ---- systemd-resolved: systemd.dnssd(5) ---- */

/* Write a word of a list: escapes as in C for what would end or change it. */
static void resolved_write_word(const char *text, FILE *file)
{
	for (; *text; text++) {
		if (strchr(" \"'\\", *text))
			fprintf(file, "\\x%02x", (unsigned char)*text);
		else
			putc(*text, file);
	}
}

/* Each line TxtText= would be a record of its own, and readers want one. */
static void resolved_write(const struct dnssd_service *service, FILE *file)
{
	char name[DNSSD_NAME];

	fprintf(file,
		"# Written by dmacastctl dnssd; see dmacastctl(8).\n"
		"[Service]\nName=%s on %%H\nType=%s\nPort=%u\nTxtText=",
		dnssd_instance_name(service, ' ', name), service->type, service->port);
	for (size_t i = 0; i < service->txt.count; i++) {
		if (i)
			putc(' ', file);
		resolved_write_word(service->txt.string[i], file);
	}
	putc('\n', file);
}

const struct dnssd_format dnssd_resolved = {
	.suffix = "dnssd",
	.directory = "/etc/systemd/dnssd",
	.write = resolved_write,
};
