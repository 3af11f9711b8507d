// SPDX-License-Identifier: BSD-2-Clause
#include "nats/nats_trouble.h"

#include "ctl/cat_report.h"
#include "lib/clock.h"

#include <bsd/string.h>
#include <string.h>

#define REPEAT_NS (30 * NS_PER_S)

void nats_trouble_report(struct nats_trouble *trouble, struct cat_report *report, const char *text,
			 uint64_t now_ns)
{
	if (!strcmp(text, trouble->text) && now_ns - trouble->reported_ns < REPEAT_NS)
		return;
	strlcpy(trouble->text, text, sizeof(trouble->text));
	trouble->reported_ns = now_ns;
	cat_report_notice(report, "trouble", text);
}

void nats_trouble_end(struct nats_trouble *trouble)
{
	trouble->text[0] = '\0';
}
