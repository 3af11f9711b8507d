// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/nic_features.h"

#include <bsd/string.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Number of features of any kernel. */
#define MAX_FEATURES 512
#define FEATURE_WORDS (MAX_FEATURES / 32)

/* @data: a request of SIOCETHTOOL, which has the answer afterwards. Return: false with errno. */
static bool nic_ask(const char *name, void *data)
{
	struct ifreq request = { .ifr_data = data };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), status, error;

	if (fd < 0)
		return false;
	strlcpy(request.ifr_name, name, sizeof(request.ifr_name));
	status = ioctl(fd, SIOCETHTOOL, &request);
	error = errno;
	close(fd);
	errno = error;
	return !status;
}

void nic_driver(const char *name, char driver[NIC_DRIVER])
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };

	*driver = '\0';
	if (nic_ask(name, &info))
		strlcpy(driver, info.driver, NIC_DRIVER);
}

/* Return: number of features of the kernel; 0 if it does not tell, or has more than there is space for. */
static uint32_t nic_count_features(const char *name)
{
	struct ethtool_sset_info *info = calloc(1, sizeof(*info) + sizeof(info->data[0]));
	uint32_t count = 0;

	if (!info)
		return 0;
	info->cmd = ETHTOOL_GSSET_INFO;
	info->sset_mask = 1ULL << ETH_SS_FEATURES;
	if (nic_ask(name, info) && info->sset_mask && info->data[0] <= MAX_FEATURES)
		count = info->data[0];
	free(info);
	return count;
}

/* Return: the names of the features, for the caller to free; NULL if the kernel does not tell. */
static struct ethtool_gstrings *nic_read_names(const char *name)
{
	uint32_t count = nic_count_features(name);
	struct ethtool_gstrings *names =
		count ? calloc(1, sizeof(*names) + (size_t)count * ETH_GSTRING_LEN) : NULL;

	if (!names)
		return NULL;
	names->cmd = ETHTOOL_GSTRINGS;
	names->string_set = ETH_SS_FEATURES;
	names->len = count;
	if (nic_ask(name, names) && names->len <= count)
		return names;
	free(names);
	return NULL;
}

/* Return: the state of the features, for the caller to free; NULL if the kernel does not tell. */
static struct ethtool_gfeatures *nic_read_bits(const char *name)
{
	struct ethtool_gfeatures *bits =
		calloc(1, sizeof(*bits) + FEATURE_WORDS * sizeof(bits->features[0]));

	if (!bits)
		return NULL;
	bits->cmd = ETHTOOL_GFEATURES;
	bits->size = FEATURE_WORDS;
	if (nic_ask(name, bits))
		return bits;
	free(bits);
	return NULL;
}

/* Return true if a feature whose name begins with @prefix is active, or with @available can be made so. */
static bool nic_has(const struct ethtool_gstrings *names, const struct ethtool_gfeatures *bits,
		    const char *prefix, bool available)
{
	for (uint32_t i = 0; i < names->len; i++) {
		const struct ethtool_get_features_block *word = &bits->features[i / 32];
		uint32_t set = available ? word->available & ~word->never_changed : word->active;
		const char *name = (const char *)names->data + (size_t)i * ETH_GSTRING_LEN;

		if (!strncmp(name, prefix, strlen(prefix)) && (set >> i % 32 & 1))
			return true;
	}
	return false;
}

/* The names: "tx-scatter-gather"; "tx-checksum-ipv4", "-ipv6" and "-ip-generic" for TCP, others for other protocols. */
static void nic_fill_features(const struct ethtool_gstrings *names,
			      const struct ethtool_gfeatures *bits, struct nic_features *features)
{
	features->scatter_gather = nic_has(names, bits, "tx-scatter-gather", false);
	features->checksum = nic_has(names, bits, "tx-checksum-ip", false);
	features->can_change =
		(features->scatter_gather || nic_has(names, bits, "tx-scatter-gather", true)) &&
		(features->checksum || nic_has(names, bits, "tx-checksum-ip", true));
}

bool nic_features(const char *name, struct nic_features *features)
{
	struct ethtool_gstrings *names = nic_read_names(name);
	struct ethtool_gfeatures *bits = nic_read_bits(name);
	bool known = names && bits;

	if (known)
		nic_fill_features(names, bits, features);
	free(names);
	free(bits);
	return known;
}
