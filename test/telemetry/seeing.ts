/** A daemon's insides for tests of what sgctl is shown: the demo's configuration, flow tables and a ring of events in plain memory. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import {
  ACCOUNT_BYTES_OUT,
  ACCOUNT_PACKETS_OUT,
  ACCOUNT_WORDS,
  accountBytes,
  FlowAccounts,
} from '../../src/conntrack/accounts.ts';
import { STATE_COUNT, timeoutState } from '../../src/conntrack/states.ts';
import {
  type FlowFamily,
  KEY_ADDRESSES,
  KEY_META,
  KEY_PORTS,
  KEY_WORDS_4,
  setRuleWordOf,
  setSeenOf,
  setStateWordOf,
  stateWordOf,
} from '../../src/conntrack/entry.ts';
import { FlowTable, flowTableBytes } from '../../src/conntrack/table.ts';
import type { Config } from '../../src/config/config.ts';
import { EventPump } from '../../src/telemetry/event-pump.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import type { Observatory } from '../../src/telemetry/observatory.ts';
import { RuleBook } from '../../src/queries/rule-book.ts';
import { counterBytes } from '../../src/engine/counters.ts';
import { EventReader, eventRingBytes, EventRing } from '../../src/engine/events.ts';
import { repositoryRoot } from '../support/repository.ts';

export const NOW_MS = 1_000_000;
const TIMEOUT_MS = 100_000;

export interface FlowMade {
  readonly port: number;
  readonly protocol: number;
  readonly localPort: number;
  readonly remotePort: number;
  readonly remote: number;
  /** State and flags. */
  readonly state: number;
  readonly idleMs: number;
  readonly bytesOut: number;
  readonly packetsOut: number;
  readonly rule: number;
}

/** What the views read, and hands to write it with. */
export class Seeing {
  readonly observatory: Observatory;
  readonly book: RuleBook;
  readonly ring: EventRing;
  readonly counters = new Float64Array(counterBytes(1024) / 8);
  /** The flows that were asked to end, command by command. */
  readonly endings: (readonly number[])[] = [];
  readonly tables: readonly [FlowTable, FlowTable];
  readonly accounts: readonly [FlowAccounts, FlowAccounts];
  readonly pump: EventPump;
  config: Config;
  names: ReadonlyMap<number, string>;

  constructor(capacity = 1000) {
    const { config } = loadConfig(join(repositoryRoot(), 'config', 'demo.yaml'), {
      netnsDirectory: '/run/netns',
    });
    assert.ok(config !== undefined);
    this.config = config;
    this.names = new Map([
      [0, 'uplink'],
      ...config.interfaces.map(({ name }, i) => [i + 1, name] as const),
    ]);
    const table = (family: FlowFamily): FlowTable => {
      const layout = { capacity, family };
      return new FlowTable(layout, { k0: 1, k1: 2 }, new SharedArrayBuffer(flowTableBytes(layout)));
    };
    this.tables = [table(4), table(6)];
    this.accounts = [0, 1].map(
      () => new FlowAccounts(new SharedArrayBuffer(accountBytes(capacity))),
    ) as [FlowAccounts, FlowAccounts];
    const events = new SharedArrayBuffer(eventRingBytes());
    this.ring = new EventRing(events);
    // Wants nothing by itself: a listener that forgot to ask would be told of all the same.
    this.pump = new EventPump([new EventReader(events)]);
    this.observatory = this.makeObservatory();
    this.book = new RuleBook(this.observatory);
  }

  /** Tracks a flow of 10.0.0.11; its number. */
  open(flow: Partial<FlowMade>): number {
    const all: FlowMade = {
      port: 1,
      protocol: 6,
      localPort: 443,
      remotePort: 1000,
      remote: 0x0a010101,
      state: 3,
      idleMs: 0,
      bytesOut: 0,
      packetsOut: 0,
      rule: 0,
      ...flow,
    };
    const [table] = this.tables;
    const key = new Int32Array(KEY_WORDS_4);
    key[KEY_META] = (all.port << 16) | all.protocol;
    key[KEY_PORTS] = (all.localPort << 16) | all.remotePort;
    key[KEY_ADDRESSES] = 0x0a00000b;
    key[KEY_ADDRESSES + 1] = all.remote;
    const number = table.insert(key);
    setStateWordOf(table, number, stateWordOf(table, number) | all.state);
    setSeenOf(table, number, NOW_MS - all.idleMs);
    setRuleWordOf(table, number, all.rule);
    const [{ words, doubles }] = this.accounts;
    words[number * ACCOUNT_WORDS + ACCOUNT_PACKETS_OUT] = all.packetsOut;
    doubles[(number * ACCOUNT_WORDS + ACCOUNT_BYTES_OUT) / 2] = all.bytesOut;
    return number;
  }

  private makeObservatory(): Observatory {
    const rules = [...this.config.model.groups.values()].flatMap((group) => [
      ...group.ingress.map((rule) => ({ rule, groupId: group.id, direction: 'ingress' as const })),
      ...group.egress.map((rule) => ({ rule, groupId: group.id, direction: 'egress' as const })),
    ]);
    const numbered = rules.map((one, number) => ({ ...one, number }));
    const { tables, accounts, counters, endings } = this;
    const observatory = {
      dataplane: {
        flows: tables,
        accounts,
        readCounters: () => counters,
        hitsOf: () => 0,
        nowMs: NOW_MS,
        timeScale: 1,
        idleTimeoutMs: (_port: number, word: number) =>
          timeoutState(word) < STATE_COUNT ? TIMEOUT_MS : 0,
        endFlows: (flows: readonly number[]) => {
          endings.push(flows);
          return Promise.resolve(flows.length / 3);
        },
      },
      pump: this.pump,
      inForce: new Map(numbered.map((one) => [one.number, one])),
      ruleOf: (number: number) => numbered.at(number)?.rule,
      portNames: () => this.names,
      wallMs: (momentMs: number) => Date.now() - (NOW_MS - momentMs),
    };
    const config = (): Config => this.config;
    Object.defineProperty(observatory, 'config', { get: config });
    // Only what the views read is there.
    return observatory as unknown as Observatory;
  }
}
