// SPDX-License-Identifier: BSD-2-Clause
/* dmacastd: start everything in order, run, and stop in reverse order. */
#include "config/arguments.h"
#include "config/config.h"
#include "daemon.h"
#include "inheritance.h"
#include "host/limits.h"
#include "lib/log.h"
#include "lib/loop_time.h"
#include "lib/process.h"
#include "lib/service.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>

#if !LOOP_HAS_HOOKS
/* libevent calls this one. */
__attribute__((visibility("default"))) int epoll_wait(int fd, struct epoll_event *events, int most,
						      int timeout)
{
	return loop_time_poll(fd, events, most, timeout);
}
#endif

/* Return: true if @config can be used here, or can be that of the predecessor, whose streams go on. */
static bool find_config(struct config *config, bool right, const struct inheritance *inheritance)
{
	const char *file = config->file;

	if (right && limits_report(&config->daemon, config->streams, config->stream_count))
		return true;
	if (!inheritance)
		return false;
	config_free(config);
	config_init(config);
	config->file = file;
	log_error("the configuration cannot be used; the streams of the predecessor go on as they "
		  "are");
	return inheritance_restore_options(inheritance, config);
}

/* @right: false: the configuration has errors */
static struct daemon *open_daemon(struct config *config, bool right, int argc, char **argv)
{
	struct inheritance *inheritance;
	struct daemon *daemon = NULL;

	if (!service_init())
		return NULL;
	limits_raise();
	inheritance = inheritance_take();
	if (find_config(config, right, inheritance))
		daemon = daemon_open(config, argc, argv, inheritance);
	inheritance_free(inheritance);
	return daemon;
}

static int run_daemon(struct config *config, bool right, int argc, char **argv)
{
	struct daemon *daemon = open_daemon(config, right, argc, argv);
	int status;

	if (!daemon)
		return 1;
	status = daemon_run(daemon);
	daemon_close(daemon);
	return status;
}

/* Keep SIGHUP pending until daemon_open() can handle it; it would end the process. */
static void block_hangup(void)
{
	sigset_t hangup;

	sigemptyset(&hangup);
	sigaddset(&hangup, SIGHUP);
	sigprocmask(SIG_BLOCK, &hangup, NULL);
}

int main(int argc, char **argv)
{
	struct config config;
	int status = 0;

	block_hangup();
	process_keep_standard_fds(O_RDWR);
	log_init("dmacastd");
	config_init(&config);
	switch (arguments_parse(argc, argv, &config)) {
	case ARGUMENTS_RUN:
		log_set_level(config.log_level);
		status = run_daemon(&config, true, argc, argv);
		break;
	case ARGUMENTS_CHECK:
		config_print(&config, stdout);
		break;
	case ARGUMENTS_DONE:
		break;
	case ARGUMENTS_WRONG:
		status = run_daemon(&config, false, argc, argv);
		break;
	}
	config_free(&config);
	return status;
}
