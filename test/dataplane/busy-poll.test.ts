/** A loop asks for packets before it sleeps where they often come so soon, and sleeps where they don't. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BusyPoll } from '../../src/dataplane/busy-poll.ts';

const LIMIT_US = 50;
/** What an epoll_wait(2) that finds nothing takes. */
const ASK_US = 1;

/** Packets that come at the times of a list, and a loop that waits for one after the other. */
class World {
  slept = 0;
  asked = 0;
  private nowUs = 0;
  private nextUs = 0;
  private readonly poll: BusyPoll;
  private readonly events = new Int32Array(2);

  constructor(limitUs = LIMIT_US) {
    this.poll = new BusyPoll(this, limitUs, () => this.nowUs / 1000);
  }

  /** Waits for a packet that comes `gapUs` from now. @returns how long the loop was awake meanwhile, in µs */
  next(gapUs: number, timeoutMs = 50): number {
    const { asked } = this;
    this.nextUs = this.nowUs + gapUs;
    assert.equal(this.poll.wait(this.events, timeoutMs), gapUs <= 1000 * timeoutMs ? 1 : 0);
    return ASK_US * (this.asked - asked);
  }

  wait(_: Int32Array, timeoutMs: number): number {
    if (timeoutMs === 0) {
      this.asked++;
      this.nowUs += ASK_US;
    } else {
      this.slept++;
      this.nowUs = Math.min(this.nextUs, this.nowUs + 1000 * timeoutMs);
    }
    return this.nowUs >= this.nextUs ? 1 : 0;
  }
}

test('packets that come soon are asked for, from the second one on', () => {
  const world = new World();
  for (let i = 0; i < 100; i++) world.next(20);
  assert.equal(world.slept, 1);
});

test('a question and its answer, then a pause: it is awake for the answer', () => {
  const world = new World();
  for (let i = 0; i < 100; i++) {
    world.next(20);
    world.next(230);
  }
  assert.ok(world.slept <= 101, `${world.slept} sleeps for 100 pauses`);
});

test('packets that come late are slept for, after some in vain', () => {
  const world = new World();
  for (let i = 0; i < 100; i++) world.next(20);
  let awakeUs = 0;
  for (let i = 0; i < 1000; i++) awakeUs += world.next(10_000);
  assert.ok(awakeUs <= 16 * (LIMIT_US + ASK_US), `${awakeUs} µs awake`);
});

test('it asks in vain four times at most for each packet in time', () => {
  const world = new World();
  let inVain = 0;
  for (let i = 0; i < 1000; i++) {
    world.next(20);
    for (let late = 0; late < 9; late++) if (world.next(1000) > 0) inVain++;
  }
  assert.ok(inVain <= 4 * 1000, `${inVain} times`);
  assert.ok(inVain > 3 * 1000, `${inVain} times`);
});

test('it is asked once, where nothing may be waited for, or polling is off', () => {
  const world = new World();
  for (let i = 0; i < 10; i++) world.next(0, 0);
  assert.equal(world.asked, 10);
  const off = new World(0);
  for (let i = 0; i < 100; i++) off.next(20);
  assert.equal(off.asked, 0);
});
