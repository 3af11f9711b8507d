/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process that runs one command: it starts the shell, reaps it, sends signals to its process group, and reports.
 * A process group needs a parent that outlives the daemon's handover to a successor, which is another process.
 *
 *   daemon ── socket ── "dmacast-command" ── /bin/sh, leader of the process group ── ...
 *
 * The socket is the lifeline, too. The supervisor alone has its other end, so that the end of the socket means that no
 * daemon is left: then it kills the group. A successor gets the socket, and needs nothing else: it is no parent of the
 * supervisor.
 *
 *   STARTED ─▶ EXITED ─▶ [REMAINS] ─▶ GONE, and the supervisor ends
 *
 * REMAINS and GONE come only after supervisor_signal(): until then the rest of a group may live as long as it wants.
 *
 * The supervisor is a fork() of the daemon without its heap, and makes system calls only. It becomes the parent of the orphans of its command, and reaps them.
 */
#ifndef DMACAST_SUPERVISOR_H
#define DMACAST_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct state;

struct supervisor {
	int socket;   /* -1: closed */
	pid_t pid;    /* of the supervisor */
	pid_t parent; /* the process that it is a child of; another one need not reap it */
};

/* Both structs are the protocol between the versions of two processes: members are only added, at the end. */
struct supervisor_request {
	int32_t signal; /* for the group; 0: none */
};

enum supervisor_report_kind {
	SUPERVISOR_STARTED, /* @value: process id of the leader, also the group's */
	SUPERVISOR_EXITED,  /* the leader; @value: si_code, @status: si_status of waitid() */
	SUPERVISOR_REMAINS, /* the leader has exited, others of its group have not */
	SUPERVISOR_GONE,    /* nothing of the group runs */
};

struct supervisor_report {
	int32_t kind, value, status;
};

/* The ends that the command has of its standard descriptors. */
struct supervisor_ends {
	int input; /* -1: /dev/null */
	int output, errors;
};

/**
 * supervisor_start() - run @text with /bin/sh. The caller keeps the descriptors of @ends.
 *
 * Return: false with errno set.
 */
bool supervisor_start(struct supervisor *supervisor, const char *text,
		      const struct supervisor_ends *ends);

/** supervisor_signal() - send a signal to the group, or with 0 none, and ask for the report of its end. */
void supervisor_signal(const struct supervisor *supervisor, int number);

/** supervisor_receive() - take one report. Return: 1: @report is set; 0: there is none now; -1: it has ended. */
int supervisor_receive(const struct supervisor *supervisor, struct supervisor_report *report);

/** supervisor_reap() - return false if the supervisor is a child of this process that still has to be reaped. */
bool supervisor_reap(const struct supervisor *supervisor);

/** supervisor_close() - close the socket: the supervisor kills what runs. May be repeated. */
void supervisor_close(struct supervisor *supervisor);

/** supervisor_transfer() - save or restore the members of @supervisor. */
void supervisor_transfer(struct supervisor *supervisor, struct state *state);

#endif
