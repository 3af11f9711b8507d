// SPDX-License-Identifier: BSD-2-Clause
/*
 * Usage: ring_state [STEPS [SEED]]
 *
 * A ring, its window, cursors and the records of sends go to a successor that maps the same memory, at random moments of
 * a random workload, which the successor continues. Each block has the bytes of its place in the stream as long as
 * someone needs it, and comes back once. States in which something was changed are restored or refused.
 */
#include "lib/frame.h"
#include "lib/pattern.h"
#include "lib/state.h"
#include "ring/ring.h"
#include "send/completion.h"
#include "stream/window.h"

#include "dice.h"
#include "sharedring.h"
#include "statejson.h"
#include "statepass.h"
#include "tap.h"

#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCKS 32U
#define BLOCK_SIZE 4096U
/* Of a ring that is as large as some huge pages; the blocks are not filled. */
#define LARGE_BLOCK_SIZE (256U << 10)
#define CURSORS 6U
#define MAX_RUN 8U
#define KEPT 6U

/* One client: its cursor, and the sends of its socket. */
struct client {
	struct cursor cursor;
	struct completions completions;
	bool joined;
};

struct owner {
	struct ring *ring;
	struct window *window;
	struct client client[CURSORS];
	struct block *filling;	   /* taken, and not in the window; or NULL */
	struct owner *predecessor; /* which is gone, as its process would be */
};

static const struct stream_settings memory_settings;

static struct {
	uint64_t pushed, skips, copies, pins, completions, handovers, copies_handed,
		outstanding_handed;
} count;

/* ---- content ---- */

static uint64_t frame_sequence(const struct block *block)
{
	struct frame frame = { 0 };
	unsigned int bytes;

	check(frame_parse(block->header, &frame, &bytes) == FRAME_IS_VALID, "no header");
	return frame.sequence;
}

/* Several owners use the same memory one after the other: the content does not matter. */
static bool content_changes;

static void check_block(const struct block *block)
{
	size_t right = content_changes ? block->length
				       : pattern_check(block->data, block->length, block->position);

	check(right == block->length, "block %" PRIu64 " is wrong at %zu of %u", block->sequence,
	      right, block->length);
	if (block->header && !content_changes)
		check(frame_sequence(block) == block->sequence,
		      "header %" PRIu64 " at block %" PRIu64, frame_sequence(block),
		      block->sequence);
}

static void check_sends(const struct completions *completions)
{
	for (uint32_t i = completions->oldest; i != completions->next; i++) {
		const struct send_record *record =
			&completions->record[i & (completions->capacity - 1)];
		const struct block *block = record->first;

		for (uint32_t n = 0; block && n < record->blocks; n++, block = block->next) {
			check(block->pins, "block %u is sent without a pin", block->index);
			check_block(block);
		}
	}
}

/* ---- workload ---- */

static bool owner_keeps(void *argument, const struct block *oldest)
{
	const struct owner *owner = argument;

	return oldest->sequence + KEPT >= window_head(owner->window);
}

static void owner_create(struct owner *owner, enum huge_pages huge_pages)
{
	memset(owner, 0, sizeof(*owner));
	owner->ring = shared_ring_create(
		huge_pages == HUGE_PAGES_NEVER ? BLOCK_SIZE : LARGE_BLOCK_SIZE, BLOCKS, huge_pages);
	owner->window = window_create(BLOCKS);
	if (!owner->window)
		errx(1, "no window");
	window_set_keeper(owner->window, owner_keeps, owner);
	for (unsigned int i = 0; i < CURSORS; i++)
		completions_init(&owner->client[i].completions);
}

static void owner_push(struct owner *owner)
{
	struct block *block = owner->filling;
	struct frame frame = {
		.sequence = window_head(owner->window),
		.position = window_bytes(owner->window),
		.length = block->length,
	};

	pattern_fill(block->data, block->length, frame.position);
	frame_encode(&frame, block->header);
	block->monotonic_ns = frame.sequence * 3;
	block->captured_ns = frame.sequence * 3 + 1;
	block->realtime_ns = frame.sequence * 3 + 2;
	owner->filling = NULL;
	window_push(owner->window, block);
	count.pushed++;
}

static void owner_fill(struct owner *owner, struct dice *dice)
{
	if (!owner->filling) {
		owner->filling = ring_take(owner->ring);
		if (owner->filling)
			owner->filling->length = dice_roll(dice, 1, BLOCK_SIZE);
		else
			window_release_oldest(owner->window);
	}
	if (owner->filling && dice_one_in(dice, 2))
		owner_push(owner);
}

/* Record a zero-copy send of @bytes from the current block on, as send/zerocopy.c does. */
static void client_pin_sent(struct client *client, struct block *first, uint64_t bytes)
{
	uint64_t left = client->cursor.offset + bytes;
	struct block *block = first;
	uint32_t blocks = 0, whole = 0;

	while (left) {
		uint32_t length = block_header_bytes(block, client->cursor.framed) + block->length;

		blocks++;
		if (left < length)
			break;
		whole++;
		left -= length;
		block = block->next;
	}
	if (!completions_reserve(&client->completions))
		errx(1, "no memory");
	completions_add(&client->completions, first, blocks, whole);
	count.pins++;
}

static void client_send(struct owner *owner, struct client *client, struct dice *dice)
{
	uint32_t run = window_run(owner->window, &client->cursor, MAX_RUN, UINT64_MAX);
	struct block *first = window_block(owner->window, &client->cursor), *block = first;
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < run; i++, block = block->next) {
		check_block(block);
		bytes += block_header_bytes(block, client->cursor.framed) + block->length;
	}
	if (!run)
		return;
	bytes = dice_roll(dice, 1, (uint32_t)bytes - client->cursor.offset);
	if (!block_is_copy(first) && dice_one_in(dice, 2))
		client_pin_sent(client, first, bytes);
	window_advance(owner->window, &client->cursor, bytes);
}

static void client_skip(struct owner *owner, struct client *client, struct dice *dice)
{
	struct window_gap lost;

	if (!window_block(owner->window, &client->cursor) ||
	    client->cursor.sequence == window_head(owner->window))
		return;
	if (!window_skip(owner->window, &client->cursor, dice_one_in(dice, 2), &lost))
		errx(1, "no memory");
	count.skips++;
	count.copies += window_copied_bytes(&client->cursor) > 0;
}

/* The kernel reports a range of sends, in any order, and once more than once. */
static void client_complete(struct client *client, struct dice *dice)
{
	struct completions *completions = &client->completions;
	uint32_t records = completions->next - completions->oldest, low, high;

	if (!records)
		return;
	low = completions->oldest + dice_roll(dice, 0, records - 1);
	high = low + dice_roll(dice, 0, completions->next - 1 - low);
	completions_complete(completions, low, high, NULL, 0);
	count.completions++;
}

static void client_step(struct owner *owner, struct client *client, struct dice *dice)
{
	uint64_t oldest = window_oldest(owner->window), head = window_head(owner->window);
	uint32_t roll = dice_roll(dice, 0, 99);

	if (roll < 25) {
		client_complete(client, dice);
	} else if (!client->joined) {
		client->cursor.framed = dice_one_in(dice, 2);
		window_join(owner->window, &client->cursor,
			    head - dice_roll(dice, 0, (uint32_t)(head - oldest)));
		client->joined = true;
	} else if (roll < 28) {
		window_leave(owner->window, &client->cursor);
		client->joined = false;
	} else if (roll < 40) {
		client_skip(owner, client, dice);
	} else {
		client_send(owner, client, dice);
	}
}

static void owner_step(struct owner *owner, struct dice *dice)
{
	if (dice_one_in(dice, 3))
		owner_fill(owner, dice);
	else
		client_step(owner, &owner->client[dice_roll(dice, 0, CURSORS - 1)], dice);
}

/* End the workload: each block comes back. */
static void owner_end(struct owner *owner)
{
	for (unsigned int i = 0; i < CURSORS; i++) {
		struct client *client = &owner->client[i];

		check_sends(&client->completions);
		if (client->joined)
			window_leave(owner->window, &client->cursor);
		if (client->completions.outstanding)
			completions_complete(&client->completions, client->completions.oldest,
					     client->completions.next - 1, NULL, 0);
		completions_free(&client->completions);
	}
	if (owner->filling)
		ring_put(owner->ring, owner->filling);
	window_destroy(owner->window);
	check(ring_free_blocks(owner->ring) == BLOCKS, "%u of %u blocks came back",
	      ring_free_blocks(owner->ring), BLOCKS);
	check(!ring_pinned_blocks(owner->ring) && !ring_pinned_only_blocks(owner->ring),
	      "%u pinned, %u only pinned", ring_pinned_blocks(owner->ring),
	      ring_pinned_only_blocks(owner->ring));
	ring_destroy(owner->ring);
}

/* ---- handover ---- */

static void ring_client_transfer(struct owner *owner, struct client *client, struct state *state)
{
	bool joined = client->joined;

	state_item(state);
	completions_transfer(&client->completions, owner->ring, state);
	state_bool(state, "joined", &joined);
	if (joined)
		window_transfer_cursor(owner->window, owner->ring, state, &client->cursor);
	client->joined = joined && !state_failed(state);
	state_leave(state);
}

static void owner_transfer(struct owner *owner, struct state *state)
{
	bool saving = state_is_saving(state);

	window_transfer(owner->window, owner->ring, state);
	ring_transfer_block(owner->ring, state, "filling", &owner->filling);
	if (!saving && owner->filling && !ring_claim(owner->ring, owner->filling)) {
		state_fail(state, "another one has what is being filled");
		owner->filling = NULL;
	}
	state_list(state, "clients", CURSORS);
	for (unsigned int i = 0; !state_failed(state) && i < CURSORS; i++)
		ring_client_transfer(owner, &owner->client[i], state);
	if (!state_failed(state))
		state_list_end(state);
}

/* Save. The descriptors are the successor's: @owner does not use them any more. Return: the state, which the caller frees. */
static char *owner_save(struct owner *owner, size_t *length, int *descriptors, size_t most,
			size_t *descriptor_count)
{
	struct state *state = state_create();
	const int *saved;
	char *data;

	ring_save(owner->ring, state);
	owner_transfer(owner, state);
	data = state_encode_copy(state, length);
	saved = state_descriptors(state, descriptor_count);
	if (*descriptor_count > most)
		errx(1, "%zu descriptors", *descriptor_count);
	for (size_t i = 0; i < *descriptor_count; i++)
		descriptors[i] = saved[i];
	state_free(state);
	return data;
}

/* Return false, with everything freed, if the state is refused. */
static bool owner_restore(struct owner *owner, struct state *state)
{
	memset(owner, 0, sizeof(*owner));
	for (unsigned int i = 0; i < CURSORS; i++)
		completions_init(&owner->client[i].completions);
	owner->ring = ring_restore(NULL, &memory_settings, state);
	if (!owner->ring)
		return false;
	owner->window = window_create(ring_blocks(owner->ring));
	if (!owner->window)
		errx(1, "no window");
	window_set_keeper(owner->window, owner_keeps, owner);
	owner_transfer(owner, state);
	if (!state_failed(state) && ring_check_restored(owner->ring, state))
		return true;
	for (unsigned int i = 0; i < CURSORS; i++) {
		if (owner->client[i].joined)
			window_leave(owner->window, &owner->client[i].cursor);
		completions_drop(&owner->client[i].completions);
		completions_free(&owner->client[i].completions);
	}
	if (owner->filling)
		ring_put(owner->ring, owner->filling);
	window_destroy(owner->window);
	ring_destroy(owner->ring);
	return false;
}

static void compare_owned_clients(const struct owner *before, const struct owner *after,
				  unsigned int i)
{
	const struct client *b = &before->client[i], *a = &after->client[i];

	check(b->joined == a->joined, "client %u joined", i);
	check(b->completions.oldest == a->completions.oldest &&
		      b->completions.next == a->completions.next &&
		      b->completions.outstanding == a->completions.outstanding &&
		      completions_blocks(&b->completions) == completions_blocks(&a->completions),
	      "the sends of client %u are others", i);
	check_sends(&a->completions);
	count.outstanding_handed += a->completions.outstanding;
	if (!b->joined)
		return;
	check(b->cursor.sequence == a->cursor.sequence && b->cursor.offset == a->cursor.offset &&
		      b->cursor.framed == a->cursor.framed &&
		      window_copied_bytes(&b->cursor) == window_copied_bytes(&a->cursor) &&
		      window_lag(before->window, &b->cursor) ==
			      window_lag(after->window, &a->cursor),
	      "the cursor of client %u is elsewhere", i);
	count.copies_handed += window_copied_bytes(&a->cursor) > 0;
	if (a->cursor.held)
		check_block(a->cursor.held);
}

static void compare_owned_blocks(struct owner *before, struct owner *after)
{
	for (uint32_t i = 0; i < BLOCKS; i++) {
		const struct block *b = ring_find_taken(before->ring, i);
		const struct block *a = ring_find_taken(after->ring, i);

		if (!check(!a == !b, "block %u is free", i) || !a)
			continue;
		check(a->data != b->data && a->length == b->length && a->sequence == b->sequence &&
			      a->position == b->position && a->monotonic_ns == b->monotonic_ns &&
			      a->captured_ns == b->captured_ns && a->realtime_ns == b->realtime_ns,
		      "block %u has other numbers", i);
		check(a->pins == b->pins && a->in_window == b->in_window && !a->is_unclaimed,
		      "block %u has %u pins, expected %u", i, a->pins, b->pins);
	}
}

static void compare_owners(struct owner *before, struct owner *after)
{
	uint64_t before_bytes, after_bytes;

	check(window_head(before->window) == window_head(after->window) &&
		      window_oldest(before->window) == window_oldest(after->window) &&
		      window_length(before->window) == window_length(after->window) &&
		      window_bytes(before->window) == window_bytes(after->window) &&
		      window_retained(before->window, &before_bytes) ==
			      window_retained(after->window, &after_bytes) &&
		      before_bytes == after_bytes,
	      "another window");
	check(ring_free_blocks(before->ring) == ring_free_blocks(after->ring) &&
		      ring_pinned_blocks(before->ring) == ring_pinned_blocks(after->ring) &&
		      ring_pinned_only_blocks(before->ring) == ring_pinned_only_blocks(after->ring),
	      "another account of the ring");
	check(!strcmp(ring_memory_text(before->ring), ring_memory_text(after->ring)), "%s",
	      ring_memory_text(after->ring));
	compare_owned_blocks(before, after);
	for (unsigned int i = 0; i < CURSORS; i++)
		compare_owned_clients(before, after, i);
}

/* Let a successor go on with the memory. Return: it. */
static struct owner *owner_hand_over(struct owner *owner)
{
	struct owner *successor = calloc(1, sizeof(*successor));
	char wrong[STATE_WRONG_TEXT], *data;
	int descriptors[4];
	size_t length, descriptor_count;
	struct state *state;

	data = owner_save(owner, &length, descriptors, 4, &descriptor_count);
	state = state_decode(data, length, descriptors, descriptor_count, wrong);
	free(data);
	if (!successor || !state)
		errx(1, "%s", wrong);
	if (!check(owner_restore(successor, state), "%s", state_why(state)))
		errx(1, "%s", state_why(state));
	state_free(state);
	compare_owners(owner, successor);
	successor->predecessor = owner;
	count.handovers++;
	return successor;
}

/* The one that goes on. Its predecessors are never freed: no one may write to the memory any more. */
static struct owner *owner;

static void owner_begin(enum huge_pages huge_pages)
{
	struct owner *first = calloc(1, sizeof(*first));

	if (!first)
		errx(1, "no memory");
	owner_create(first, huge_pages);
	first->predecessor = owner;
	owner = first;
}

static void test_random_handovers(uint64_t steps, uint64_t seed, enum huge_pages huge_pages,
				  const char *title)
{
	struct dice dice = { .state = seed };

	memset(&count, 0, sizeof(count));
	owner_begin(huge_pages);
	for (uint64_t i = 0; i < steps && !tap.failed; i++) {
		owner_step(owner, &dice);
		if (count.handovers < 100 && dice_one_in(&dice, (uint32_t)(steps / 100) + 1))
			owner = owner_hand_over(owner);
	}
	printf("# %" PRIu64 " steps, seed %" PRIu64 ": %" PRIu64 " blocks, %" PRIu64
	       " skips, %" PRIu64 " copies, %" PRIu64 " sends, %" PRIu64 " reports, %" PRIu64
	       " handovers with %" PRIu64 " sends and %" PRIu64 " copies\n",
	       steps, seed, count.pushed, count.skips, count.copies, count.pins, count.completions,
	       count.handovers, count.outstanding_handed, count.copies_handed);
	check(steps < 10000 || (count.copies_handed && count.outstanding_handed),
	      "nothing was handed over");
	owner_end(owner);
	point("%s", title);
}

/* ---- huge pages ---- */

/* Return the KiB in huge pages of the mapping of shared memory at @memory. */
static unsigned long huge_kib(const void *memory)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	uintptr_t start, end;
	unsigned long kib = 0, found;
	bool here = false;
	char line[512];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &start, &end) == 2)
			here = start <= (uintptr_t)memory && (uintptr_t)memory < end;
		if (here && sscanf(line, "ShmemPmdMapped: %lu kB", &found) == 1)
			kib = found;
	}
	if (file)
		fclose(file);
	return kib;
}

/* Whatever kind of pages there is: what the ring says is true of both mappings. */
static void test_huge_pages(void)
{
	const char *share;
	unsigned long kib = 0;

	owner_begin(HUGE_PAGES_AUTO);
	share = strstr(ring_memory_text(owner->ring), "memfd, 4 KiB pages, ");
	if (share && strstr(share, " MiB of it in transparent huge pages"))
		kib = strtoul(share + strlen("memfd, 4 KiB pages, "), NULL, 10) * 1024;
	printf("# %s\n", ring_memory_text(owner->ring));
	for (int mapping = 0; mapping < 2; mapping++) {
		struct block *block[BLOCKS];

		for (uint32_t i = 0; i < BLOCKS; i++) {
			block[i] = ring_take(owner->ring);
			block[i]->data[0] = 1;
		}
		check(huge_kib(block[0]->data) >= kib, "%lu KiB in huge pages, expected %lu",
		      huge_kib(block[0]->data), kib);
		for (uint32_t i = 0; i < BLOCKS; i++)
			ring_put(owner->ring, block[i]);
		if (!mapping)
			owner = owner_hand_over(owner);
	}
	owner_end(owner);
	point("huge pages are mapped as such again");
}

/* ---- changed states ---- */

/* A number, or whatever is no object or list, within the state. */
struct leaf {
	json_t *parent;
	const char *key; /* in an object */
	size_t index;	 /* in a list */
};

/* Find the leaf number *@left, counting down. Return: true if it is within @value. */
static bool leaf_find(json_t *value, size_t *left, struct leaf *leaf)
{
	const char *key;
	json_t *member;
	size_t i;

	json_object_foreach(value, key, member)
	{
		*leaf = (struct leaf){ .parent = value, .key = key };
		if (json_is_object(member) || json_is_array(member)) {
			if (leaf_find(member, left, leaf))
				return true;
		} else if (!(*left)--) {
			return true;
		}
	}
	json_array_foreach(value, i, member)
	{
		*leaf = (struct leaf){ .parent = value, .index = i };
		if (json_is_object(member) || json_is_array(member)) {
			if (leaf_find(member, left, leaf))
				return true;
		} else if (!(*left)--) {
			return true;
		}
	}
	return false;
}

static size_t leaf_count(json_t *root)
{
	size_t left = SIZE_MAX;
	struct leaf leaf;

	leaf_find(root, &left, &leaf);
	return SIZE_MAX - left;
}

static json_int_t changed_number(json_int_t number, struct dice *dice)
{
	static const json_int_t special[] = {
		-1, 0, 1, BLOCKS - 1, BLOCKS, BLOCK_SIZE, UINT32_MAX, INT64_MAX, INT64_MIN, 1 << 20
	};

	switch (dice_roll(dice, 0, 3)) {
	case 0:
		return number + 1;
	case 1:
		return number - 1;
	case 2:
		return dice_roll(dice, 0, 2 * BLOCKS);
	default:
		return special[dice_roll(dice, 0, sizeof(special) / sizeof(special[0]) - 1)];
	}
}

static json_t *changed_value(const json_t *value, struct dice *dice)
{
	if (json_is_integer(value) && !dice_one_in(dice, 50))
		return json_integer(changed_number(json_integer_value(value), dice));
	if (json_is_boolean(value) && !dice_one_in(dice, 10))
		return json_boolean(!json_is_true(value));
	return dice_one_in(dice, 2) ? json_string("text") : json_null();
}

static void leaf_change(const struct leaf *leaf, struct dice *dice)
{
	if (leaf->key && dice_one_in(dice, 20))
		json_object_del(leaf->parent, leaf->key);
	else if (leaf->key)
		json_object_set_new(leaf->parent, leaf->key,
				    changed_value(json_object_get(leaf->parent, leaf->key), dice));
	else if (dice_one_in(dice, 20))
		json_array_remove(leaf->parent, leaf->index);
	else if (leaf->index && dice_one_in(dice, 3)) /* twice the same */
		json_array_set(leaf->parent, leaf->index,
			       json_array_get(leaf->parent, leaf->index - 1));
	else
		json_array_set_new(leaf->parent, leaf->index,
				   changed_value(json_array_get(leaf->parent, leaf->index), dice));
}

/* Restore the state @root with descriptors of its own. Return: whether it was accepted; then it was used and ended. */
static bool try_state(const json_t *root, const int *descriptors, size_t descriptor_count)
{
	char wrong[STATE_WRONG_TEXT];
	struct owner tried;
	struct state *state;
	int copies[4];
	bool accepted;

	for (size_t i = 0; i < descriptor_count; i++)
		copies[i] = fcntl(descriptors[i], F_DUPFD_CLOEXEC, 0);
	state = statejson_decode(root, copies, descriptor_count, wrong);
	if (!state)
		errx(1, "%s", wrong);
	accepted = owner_restore(&tried, state);
	check(accepted == !state_failed(state), "%s", state_why(state));
	check(accepted || *state_why(state), "no reason");
	state_free(state);
	if (accepted)
		owner_end(&tried);
	return accepted;
}

static void test_changed_states(uint64_t states, uint64_t seed)
{
	struct dice dice = { .state = seed };
	size_t length, descriptor_count, leaves;
	uint64_t accepted = 0;
	int descriptors[4];
	json_t *root;
	char *data;

	owner_begin(HUGE_PAGES_NEVER);
	for (int i = 0; i < 1500 || !owner->filling; i++)
		owner_step(owner, &dice);
	data = owner_save(owner, &length, descriptors, 4, &descriptor_count);
	root = statejson_load(data, length);
	free(data);
	leaves = leaf_count(root);
	content_changes = true;
	check(try_state(root, descriptors, descriptor_count), "what was not changed");
	for (uint64_t i = 0; i < states && !tap.failed; i++) {
		json_t *copy = json_deep_copy(root);
		int changes = dice_one_in(&dice, 4) ? 2 : 1;

		for (int change = 0; change < changes; change++) {
			size_t left = dice_roll(&dice, 0, (uint32_t)leaves - 1);
			struct leaf leaf;

			if (leaf_find(copy, &left, &leaf))
				leaf_change(&leaf, &dice);
		}
		accepted += try_state(copy, descriptors, descriptor_count);
		json_decref(copy);
	}
	printf("# %" PRIu64 " states of %zu values, seed %" PRIu64 ": %" PRIu64 " accepted\n",
	       states, leaves, seed, accepted);
	check(accepted < states, "all were accepted");
	json_decref(root);
	for (size_t i = 0; i < descriptor_count; i++)
		close(descriptors[i]);
	content_changes = false;
	point("a changed state is restored or refused, and every block comes back");
}

int main(int argc, char **argv)
{
	uint64_t steps = argc > 1 ? strtoull(argv[1], NULL, 10) : 200000;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

	test_random_handovers(steps, seed, HUGE_PAGES_NEVER,
			      "successors continue a ring of small pages");
	test_random_handovers(steps / 4, seed + 1, HUGE_PAGES_AUTO,
			      "successors continue a ring of other pages");
	test_huge_pages();
	test_changed_states(steps / 50, seed);
	return tap_end();
}
