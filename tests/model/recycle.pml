/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a block is filled, sent, and filled again: the driver with its guard, the daemon, the sockets of the clients, and
 * what may happen in between. README.md says what is assumed, and what is checked.
 *
 *   FREE ─ arm ─▶ QUEUED ─ fill ─▶ READY ─ lend ─▶ LENT ─ give_back ─▶ RETURNED ─ write ─▶ FREE
 *    └─ quarantine ─▶ QUARANTINE ─ look, replace ─▶ FREE
 *
 * A comment "model: NAME" begins each transition, and the same one stands where the code makes it.
 *
 * Blocks have no names: they are numbered by what they are, so that states which differ only in the names of blocks are
 * one. The window comes first, in its order, then the blocks that are READY, in the order in which they were filled, and
 * then the others. swap() renumbers.
 */
#ifndef BLOCKS
#define BLOCKS 3 /* 3 or 4 */
#endif
#ifndef SENDS
#define SENDS 1 /* outstanding sends of a socket, at most */
#endif
#ifndef EVENTS
#define EVENTS 1 /* kicks, suspends, unbinds, handovers and crashes, in sum */
#endif
#ifndef RETAIN
#define RETAIN 1 /* blocks of history */
#endif
#define CLIENTS 2
#define ALL_SENDS (CLIENTS * SENDS)
#define LOW_WATER 1 /* blocks that are not the daemon's */
#if !defined(DISCONNECT) && !defined(BLOCK)
#define DROP /* lag-policy */
#endif
#ifdef BREAK_LIMIT
#define MAX_PINNED BLOCKS
#elif defined(BLOCK)
#define MAX_PINNED BLOCKS
#else
#define MAX_PINNED (BLOCKS / 2)
#endif

mtype = { FREE, QUEUED, READY, LENT, RETURNED, QUARANTINE, GONE };
mtype = { ABSENT, STREAMING, RESETTING };

/* ---- the driver ---- */
mtype block[BLOCKS] = FREE;
byte references[BLOCKS]; /* by sockets, to its pages */
byte orphans[BLOCKS];	 /* those without a completion: the socket was closed, or the completion came early */
bool suspended, unbound;

/* ---- the sockets: send n of client k is k * SENDS + n, the oldest first ---- */
byte carries[ALL_SENDS]; /* its block */
bool refers[ALL_SENDS];	 /* the kernel refers to the block */
bool copied[ALL_SENDS];	 /* the kernel has a copy of it */
bool notified[ALL_SENDS]; /* the completion is in the error queue */

/* ---- the daemon ---- */
bool lives = true, frozen, ended;
bool record[ALL_SENDS]; /* waits for the completion */
byte pins[BLOCKS];
byte length, readies; /* blocks in the window; blocks that are READY */
mtype client[CLIENTS] = ABSENT;
byte cursor[CLIENTS]; /* next block to send */
bool part[CLIENTS];   /* a part of it is sent */
#define NONE BLOCKS
#define COPY (BLOCKS + 1)
byte held[CLIENTS] = NONE; /* block to finish first, after a skip; or a copy of its rest */
byte events;

/* ---- scratch: never used from one step to the next ---- */
hidden byte b, c, i, j, n, t;

#if BLOCKS == 3
#define any(what) (what(0) || what(1) || what(2))
#define count(what) (what(0) + what(1) + what(2))
#else
#define any(what) (what(0) || what(1) || what(2) || what(3))
#define count(what) (what(0) + what(1) + what(2) + what(3))
#endif
#define is_free(x) (block[x] == FREE)
#define is_queued(x) (block[x] == QUEUED)
#define is_lent(x) (block[x] == LENT)
#define is_returned(x) (block[x] == RETURNED)
#define is_quarantined(x) (block[x] == QUARANTINE)
#define is_pinned(x) (pins[x] > 0)
#define is_idle(x) (block[x] == FREE && !references[x])
#define is_in_use(x) (block[x] == FREE && references[x])
#define is_released(x) (block[x] == QUARANTINE && !references[x])
#define is_replaceable(x) (block[x] == QUARANTINE && references[x])

/* Set b to the first block that is so. */
#define find(what) b = 0; do :: what(b) -> break :: else -> b++ od

/* Exchange the numbers x and x + 1. */
inline swap(x)
{
	t = block[x]; block[x] = block[x + 1]; block[x + 1] = t;
	t = references[x]; references[x] = references[x + 1]; references[x + 1] = t;
	t = orphans[x]; orphans[x] = orphans[x + 1]; orphans[x + 1] = t;
	t = pins[x]; pins[x] = pins[x + 1]; pins[x + 1] = t;
	j = 0;
	do
	:: j < ALL_SENDS ->
		if
		:: (refers[j] || record[j]) && carries[j] == x -> carries[j] = x + 1
		:: (refers[j] || record[j]) && carries[j] == x + 1 -> carries[j] = x
		:: else
		fi;
		j++
	:: else -> break
	od;
	j = 0;
	do
	:: j < CLIENTS ->
		if
		:: held[j] == x -> held[j] = x + 1
		:: held[j] == x + 1 -> held[j] = x
		:: else
		fi;
		j++
	:: else -> break
	od
#ifdef LIVENESS
	;
	if
	:: tracked == x -> tracked = x + 1
	:: tracked == x + 1 -> tracked = x
	:: else
	fi
#endif
}

/* Give a block a higher number; those between make way. */
inline move_up(from, to)
{
	i = from;
	do
	:: i < to -> swap(i); i++
	:: else -> break
	od
}

/* Give a block a lower number. */
inline move_down(from, to)
{
	i = from;
	do
	:: i > to -> i--; swap(i)
	:: else -> break
	od
}

#ifdef MEMORY
#define runs (lives && !frozen)
#else
#define runs (lives && !suspended && !unbound)
#endif

#ifdef LIVENESS
#define MAY_END false
byte tracked; /* number of a block that is followed */
bool lends, gets; /* change with each block that the daemon is lent; that client 0 is sent */
#define IS_FAIR && readies > 1
#else
#define MAY_END true
#define IS_FAIR
#endif

/* ---- the driver ---- */

#define rank(x) (block[x] * 64 + pins[x] * 16 + references[x] * 4 + orphans[x])
/* Bring the blocks behind the READY ones into an order. */
inline settle()
{
	i = length + readies;
	do
	:: i + 1 < BLOCKS ->
		if
		:: rank(i) > rank(i + 1) -> swap(i);
			i = (i > length + readies -> i - 1 : i + 1)
		:: else -> i++
		fi
	:: else -> break
	od;
	i = 0
}

/* The engine gets each FREE block, while it runs. */
inline feed()
{
	b = 0;
	do
	:: b < BLOCKS && block[b] == FREE && runs ->
#if defined(MEMORY) || defined(BREAK_GUARD)
		/* model: arm */
		assert(!references[b]);
		block[b] = QUEUED
#else
		/* model: arm */
		/* model: quarantine */
		block[b] = (references[b] -> QUARANTINE : QUEUED)
#endif
	:: b < BLOCKS && !(block[b] == FREE && runs) -> b++
	:: else -> break
	od;
	settle()
}

proctype driver()
{
	do
#ifndef MEMORY
#ifndef BREAK_LOOK
	/* model: look */
	:: d_step { any(is_released) -> find(is_released);
		block[b] = FREE;
		feed() }
#endif
	/* model: replace. The references stay with the former pages, which are no longer of the ring. */
	:: d_step { !unbound && any(is_replaceable) -> find(is_replaceable);
		references[b] = 0;
		orphans[b] = 0;
		block[b] = FREE;
		feed() }
#endif
	/* model: fill */
	:: d_step { runs && any(is_queued) -> find(is_queued);
		assert(!references[b]);
		block[b] = READY;
		move_down(b, length + readies);
		readies++ }
#ifndef MEMORY
#ifdef BREAK_OVERRUN
	:: d_step { runs && length && !any(is_queued) ->
		block[0] = FREE;
		feed() }
#endif
	/* model: overrun. The engine has no block, and takes back the oldest one that was not read. */
	:: d_step { runs && readies && !any(is_queued) IS_FAIR ->
		block[length] = FREE;
		move_up(length, length + readies - 1);
		readies--;
		feed() }
#endif
	:: ended -> break
	od
}

/* ---- the kernel's sockets ---- */

#define used(x) (record[x] || refers[x] || copied[x] || notified[x])
#define last_of(k) ((k) * SENDS + SENDS - 1)
#define has_room(k) (!used(last_of(k)))

/* The free numbers of a socket come last. */
inline compact(k)
{
	i = k * SENDS;
	c = k * SENDS;
	do
	:: i < (k + 1) * SENDS ->
		if
		:: used(i) && i != c ->
			record[c] = record[i]; refers[c] = refers[i]; copied[c] = copied[i]; notified[c] = notified[i];
			carries[c] = carries[i];
			record[i] = false; refers[i] = false; copied[i] = false; notified[i] = false;
			carries[i] = 0;
			c++
		:: used(i) && i == c -> c++
		:: else -> carries[i] = 0
		fi;
		i++
	:: else -> break
	od;
	i = 0
}

/* The kernel has no reference any more: all is acknowledged, or the connection was reset. */
inline complete(x)
{
	refers[x] = false;
	assert(references[carries[x]]);
	references[carries[x]]--;
	notified[x] = true
}

#if defined(LIVENESS) && defined(STALLED)
#define acknowledges(k) ((k) == 0 || client[k] == RESETTING)
#define takes_copies(k) ((k) == 0)
#else
#define acknowledges(k) true
#define takes_copies(k) true
#endif
#ifdef LIVENESS
#define is_next(x) ((x) % SENDS == 0 || !(refers[(x) - 1] || copied[(x) - 1]))
#else
#define is_next(x) true
#endif

#define SEND(k, x) \
	:: d_step { refers[x] && is_next(x) && acknowledges(k) -> complete(x) } \
	:: d_step { copied[x] && is_next(x) && acknowledges(k) -> copied[x] = false; compact(k) } \
	EARLY(k, x)
/*
 * A kernel that completes before it has sent: with tcp_mtu_probing, for example. Once for each block, since the guard does
 * not count references.
 */
#if !defined(MEMORY) || defined(BREAK_KERNEL)
#define EARLY(k, x) \
	:: d_step { refers[x] && acknowledges(k) && !orphans[carries[x]] && !ended -> \
		refers[x] = false; orphans[carries[x]]++; notified[x] = true }
#else
#define EARLY(k, x)
#endif

proctype network(byte k)
{
	do
	SEND(k, k * SENDS)
#if SENDS > 1
	SEND(k, k * SENDS + 1)
#endif
	:: ended -> break
	od
}

#define DROP_ORPHAN(x) :: atomic { orphans[x] -> orphans[x]--; references[x]-- }
proctype orphanage()
{
	do
	DROP_ORPHAN(0)
	DROP_ORPHAN(1)
	DROP_ORPHAN(2)
#if BLOCKS > 3
	DROP_ORPHAN(3)
#endif
	:: ended -> break
	od
}

/* ---- the daemon ---- */

#define acts (lives && !frozen)
#define unlent_blocks (BLOCKS - count(is_lent))
#ifdef BREAK_RETAIN
#define keeps_history true
#else
#define keeps_history (length <= RETAIN && unlent_blocks > LOW_WATER)
#endif

/* model: give_back. Nothing in the daemon needs the block any more. */
inline give_back(x)
{
	assert(block[x] == LENT);
	if
	:: unbound -> block[x] = GONE
	:: else ->
#ifdef MEMORY
		assert(!references[x]);
		block[x] = QUEUED
#else
		block[x] = RETURNED
#endif
	fi
}

/* model: unpin */
inline unpin(x)
{
	assert(pins[x]);
	pins[x]--;
	if
	:: !pins[x] && x >= length -> give_back(x)
	:: else
	fi
}

/* model: release. The oldest block leaves the window. */
inline release()
{
	assert(client[0] != STREAMING || cursor[0]);
	assert(client[1] != STREAMING || cursor[1]);
	move_up(0, length + readies - 1);
	length--;
	b = length + readies;
	cursor[0] = cursor[0] - (cursor[0] > 0);
	cursor[1] = cursor[1] - (cursor[1] > 0);
#ifdef BREAK_PINS
	give_back(b)
#else
	if
	:: !pins[b] -> give_back(b)
	:: else
	fi
#endif
}

#ifdef BREAK_CURSOR
#define needs_oldest(k) (client[k] == STREAMING && cursor[k] == 0 && !part[k])
#else
#define needs_oldest(k) (client[k] == STREAMING && cursor[k] == 0)
#endif

/* model: trim. Blocks that no cursor needs leave, but for those of history, until the engine may run dry. */
inline trim()
{
	do
	:: length && !needs_oldest(0) && !needs_oldest(1) && !keeps_history -> release()
	:: else -> break
	od;
	b = 0
}

#ifdef BREAK_HELD
#define FINISH_HELD(k) held[k] = NONE
#else
#define FINISH_HELD(k) \
	b = held[k]; held[k] = NONE; \
	if :: b < BLOCKS -> unpin(b) :: else fi
#endif

inline leave(k)
{
	client[k] = RESETTING;
	cursor[k] = 0;
	part[k] = false;
#ifdef BREAK_LEAVE
	held[k] = NONE
#else
	FINISH_HELD(k)
#endif
}

/*
 * model: kick. The connection is reset by the operator, the lag policy or the peer: the kernel drops what it had, and the
 * completions follow.
 */
inline kick(k)
{
	leave(k);
	trim()
}

/* The send of a completion: act on it, once. */
inline act_on(x)
{
	assert(record[x]);
	record[x] = false;
	unpin(carries[x])
}

/* model: reap. Read the error queue, which has the completions of neighbours as one range, in any order. */
inline reap(k)
{
	n = k * SENDS;
	do
	:: n < (k + 1) * SENDS ->
		if
		:: notified[n] ->
#ifndef BREAK_TWICE
			notified[n] = false;
#endif
			act_on(n)
#if defined(BREAK_RANGE) && SENDS > 1
			/* It acts on the first one of a range only. */
			if
			:: n % SENDS == 0 -> notified[n + 1] = false
			:: else
			fi
#endif
#if defined(BREAK_ORDER) && SENDS > 1
			/* It takes a completion for that of all earlier sends, too. */
			if
			:: n % SENDS && record[n - 1] -> act_on(n - 1)
			:: else
			fi
#endif
		:: else
		fi;
		n++
	:: else -> break
	od;
	compact(k)
}

/* Close the socket: what the kernel refers to then, nobody is told of. */
inline shut(k)
{
	n = k * SENDS;
	do
	:: n < (k + 1) * SENDS ->
		if
		:: record[n] -> record[n] = false; unpin(carries[n])
		:: else
		fi;
		if
		:: refers[n] -> orphans[carries[n]]++; refers[n] = false
		:: else
		fi;
		copied[n] = false; notified[n] = false; carries[n] = 0;
		n++
	:: else -> break
	od;
	client[k] = ABSENT
}

#if SENDS > 1
#define is_outstanding(k) (record[(k) * SENDS] || record[(k) * SENDS + 1])
#define is_notified(k) (notified[(k) * SENDS] || notified[(k) * SENDS + 1])
#else
#define is_outstanding(k) (record[k])
#define is_notified(k) (notified[k])
#endif

#ifdef BREAK_CLOSE
#define may_close(k) true
#else
#define may_close(k) (!is_outstanding(k))
#endif

#define has_next(k) (client[k] == STREAMING && (held[k] != NONE || cursor[k] < length))
#define next_of(k) (held[k] == NONE -> cursor[k] : held[k])
#define may_pin(x) (pins[x] || count(is_pinned) < MAX_PINNED)
#define is_pinnable(k) (held[k] != COPY && may_pin(next_of(k)))
#define may_send(k) (acts && has_next(k) && has_room(k) && (takes_copies(k) || is_pinnable(k)))

/* Set n to the first free send. */
#define find_send(k) n = (k) * SENDS; do :: used(n) -> n++ :: else -> break od

inline advance(k)
{
	if
	:: held[k] != NONE -> FINISH_HELD(k)
	:: else -> cursor[k]++; part[k] = false; trim()
	fi
#ifdef LIVENESS
	;
	if
	:: k == 0 -> gets = !gets
	:: else
	fi
#endif
}

/* model: send. By zero-copy: the kernel refers to the block, and a record waits for the completion. */
inline send(k)
{
	b = next_of(k);
	assert(block[b] == LENT);
	find_send(k);
	carries[n] = b;
	references[b]++;
	refers[n] = true;
#ifndef BREAK_RECORD
	record[n] = true;
	pins[b]++
#endif
}

/* model: copy. No more blocks may be pinned, or the kernel refuses: neither a reference nor a record. */
inline copy(k)
{
	b = next_of(k);
	assert(b == COPY || block[b] == LENT);
	find_send(k);
	copied[n] = true;
#ifdef BREAK_COPIED
	if
	:: b < BLOCKS -> record[n] = true; carries[n] = b; pins[b]++
	:: else
	fi
#endif
}

/* model: skip. The cursor goes to the newest block, or behind it; what was begun is finished. */
inline skip_blocks(k)
{
	if
	:: part[k] && held[k] == NONE -> b = cursor[k];
		if
		:: may_pin(b) ->
			/* model: hold */
			held[k] = b;
#ifndef BREAK_HELD
			pins[b]++
#endif
		:: else -> held[k] = COPY
		fi
	:: else
	fi;
	part[k] = false;
	cursor[k] = (cursor[k] + 1 < length -> length - 1 : length);
	trim()
}

#if defined(DROP)
#define give_way(k) skip_blocks(k)
#else
/* model: disconnect */
#define give_way(k) kick(k)
#endif

proctype serve(byte k)
{
	do
	:: d_step { acts && is_notified(k) -> reap(k) }
	/* model: close */
	:: d_step { acts && client[k] == RESETTING && !is_notified(k) && may_close(k) -> shut(k) }
	/* model: join. With the next block, or in history. */
	:: d_step { acts && !unbound && client[k] == ABSENT -> client[k] = STREAMING; cursor[k] = (k == 0 -> length : 0) }
	:: atomic { may_send(k) ->
		if
		:: d_step { is_pinnable(k) -> send(k) }
		:: d_step { takes_copies(k) -> copy(k) }
		fi;
		if
		:: d_step { true -> advance(k) }
#ifndef WHOLE
		:: d_step { held[k] == NONE && !part[k] -> part[k] = true }
#endif
		fi }
	:: ended -> break
	od
}

#define WRITE b = 0; do \
	:: b < BLOCKS && block[b] == RETURNED -> block[b] = (unbound -> GONE : FREE); b++ \
	:: b < BLOCKS && block[b] != RETURNED -> b++ \
	:: else -> break od; b = 0

#define must_give_way(k) (acts && unlent_blocks <= LOW_WATER && length && client[k] == STREAMING && cursor[k] == 0 && \
			  !(length == 1 && unlent_blocks))

proctype source()
{
	do
	/* model: lend */
	:: d_step { acts && readies && !unbound ->
		block[length] = LENT;
		length++;
		readies--;
#ifdef LIVENESS
		lends = !lends;
#endif
		trim() }
	/* model: write. The indices of blocks go back to the driver together. */
	:: d_step { acts && any(is_returned) -> WRITE; feed() }
#if !defined(BLOCK) && !defined(BREAK_WAY)
	/* model: make_room. The engine may run dry, and this client is at the oldest block. */
	:: d_step { must_give_way(0) -> give_way(0) }
	:: d_step { must_give_way(1) -> give_way(1) }
#endif
	:: ended -> break
	od
}

/* ---- what may happen at any time, EVENTS times in sum ---- */

#define may_happen (events < EVENTS && !ended)
#define forget(k) client[k] = ABSENT; cursor[k] = 0; part[k] = false; held[k] = NONE

#ifdef BREAK_RESUME
#define RESUME skip
#else
#define RESUME feed()
#endif
#define HALT(state) b = 0; do \
	:: b < BLOCKS && block[b] == QUEUED -> block[b] = state; b++ \
	:: b < BLOCKS && block[b] != QUEUED -> b++ \
	:: else -> break od; b = 0

#ifdef MEMORY
/* The memory itself stays with the kernel; there is a new ring. */
#define forget_memory references[b] = 0; orphans[b] = 0
#else
#define forget_memory skip
#endif

#define CRASH \
	n = 0; \
	do \
	:: n < ALL_SENDS && refers[n] -> refers[n] = false; orphans[carries[n]]++ \
	:: n < ALL_SENDS && !refers[n] -> record[n] = false; copied[n] = false; notified[n] = false; carries[n] = 0; n++ \
	:: else -> break \
	od; \
	forget(0); forget(1); length = 0; readies = 0; b = 0; \
	do \
	:: b < BLOCKS -> pins[b] = 0; forget_memory; \
		if \
		:: block[b] == LENT || block[b] == READY || block[b] == QUEUED || block[b] == RETURNED -> \
			block[b] = (unbound -> GONE : FREE) \
		:: else \
		fi; \
		b++ \
	:: else -> break \
	od; \
	b = 0

#define END \
	ended = true; events = 0; suspended = false; \
	if :: client[0] == STREAMING -> leave(0) :: else fi; \
	if :: client[1] == STREAMING -> leave(1) :: else fi; \
	do :: length -> release() :: else -> break od; \
	n = 0; \
	do \
	:: n < ALL_SENDS && refers[n] -> complete(n); n++ \
	:: n < ALL_SENDS && !refers[n] -> n++ \
	:: else -> break \
	od; \
	reap(0); reap(1); \
	WRITE; \
	readies = 0; b = 0; \
	do \
	:: b < BLOCKS -> references[b] = references[b] - orphans[b]; orphans[b] = 0; \
		assert(block[b] != LENT && !references[b] && !pins[b]); \
		block[b] = FREE; b++ \
	:: else -> break \
	od; \
	assert(!is_outstanding(0) && !is_outstanding(1)); \
	shut(0); shut(1); \
	lives = false; unbound = false

proctype environment()
{
	do
	:: d_step { may_happen && acts && client[0] == STREAMING -> kick(0); events++ }
	:: d_step { may_happen && acts && client[1] == STREAMING -> kick(1); events++ }
#ifndef MEMORY
	/* model: suspend. The engine stops, and what it had is not filled. */
	:: d_step { may_happen && !suspended && !unbound -> suspended = true; events++; HALT(FREE) }
	/* model: resume */
	:: d_step { suspended && !ended -> suspended = false; RESUME }
	/* model: unbind. What was not read is lost; what is lent stays mapped. */
	:: d_step { may_happen && !unbound && !suspended -> unbound = true; events++; readies = 0;
		b = 0;
		do
		:: b < BLOCKS && block[b] != LENT -> block[b] = GONE; b++
		:: b < BLOCKS && block[b] == LENT -> b++
		:: else -> break
		od;
		b = 0 }
#endif
	/* model: freeze. The predecessor writes the indices that it has, saves its state, and does nothing more. */
	:: d_step { may_happen && acts -> frozen = true; events++;
#ifndef BREAK_FLUSH
		WRITE;
		feed()
#endif
		}
	/* model: adopt. The successor has what was saved; kernel and engine went on meanwhile. */
	:: d_step { lives && frozen -> frozen = false;
#ifdef BREAK_FLUSH
		b = 0;
		do
		:: b < BLOCKS && block[b] == RETURNED -> block[b] = LENT; b++
		:: b < BLOCKS && block[b] != RETURNED -> b++
		:: else -> break
		od;
		b = 0;
#endif
#ifdef BREAK_HANDOVER
		/* The successor does not know of an outstanding send. */
		n = 0;
		do
		:: n < ALL_SENDS && record[n] -> record[n] = false; unpin(carries[n]); break
		:: n < ALL_SENDS && !record[n] -> n++
		:: else -> break
		od;
		n = 0
#endif
		}
#ifdef BREAK_FREEZE
	/* The predecessor still reads the error queue. */
	:: d_step { frozen && notified[0] -> notified[0] = false }
#endif
	/* model: crash. Sockets and device are closed; what is in flight stays with the kernel. */
	:: d_step { may_happen && lives -> events++; lives = false; frozen = false; CRASH }
	:: d_step { !lives && !ended -> lives = true; feed() }
	/* The end, at any time: everyone leaves, the network goes on, and then every block must be there. */
	:: d_step { acts && !ended && MAY_END -> END }
	:: ended -> break
	od
}



init
{
	d_step { feed() }
#ifdef LIVENESS
	select (tracked : 0 .. BLOCKS - 1);
#endif
	atomic {
		run driver();
		run network(0);
		run network(1);
		run orphanage();
		run serve(0);
		run serve(1);
		run source();
		run environment()
	}
}

/* ---- liveness, with weak fairness for each process ---- */

#ifdef LIVENESS
ltl comes_back { [] ((block[tracked] == LENT) -> <> (block[tracked] != LENT || unbound)) }
ltl goes_on { (([] <> lends) && ([] <> !lends)) || <> unbound }
ltl client_gets { (([] <> gets) && ([] <> !gets)) || <> unbound }
#endif
