/**
 * FlowLogs turns events and accounts into the lines of all flow logs, interval by interval.
 *
 * Theory of operation
 *
 * There are two sources. What tracked flows carried comes from their accounts, at the end of an interval or of the
 * flow (flow-log-harvest.ts). Drops and untracked packets come one by one as events. Both become sightings. Each log
 * takes the sightings it wants.
 *
 * An interval ends in five steps. First its number goes up, so that flows note flags and first packets anew. Then the
 * event ring is emptied, so that the harvester knows all flows. Then each log that is due puts its table aside. Then
 * the accounts are read into these tables, in slices. Last, the lines are written. All logs share one interval: 60 s
 * if any of them asks for that, otherwise 600 s. A log of 600 s beside one of 60 s closes at every tenth interval.
 *
 * Packets never wait. If a ring, a table or the disk is full, records are lost, counted and reported as SKIPDATA.
 */
import { WANT_DROPS, WANT_FLOWS, WANT_UNTRACKED } from '../engine/events.ts';
import { SEEN_FIN, SEEN_RST, SEEN_SYN, SEEN_SYN_ACK } from '../conntrack/accounts.ts';
import { FlowLog, type FlowLogCounts, type Sighting } from './flow-log.ts';
import { FlowHarvester, type CarriedOneWay, type Harvest } from './flow-log-harvest.ts';
import { openFileWriter, openStdoutWriter, type LineWriter } from './flow-log-writer.ts';
import type { FlowLogConfig } from '../config/config.ts';
import { LogNames } from './flow-log-names.ts';
import type { Observatory } from '../telemetry/observatory.ts';
import {
  readEvent,
  type FlowEvent,
  type PacketEvent,
  type Tuple,
} from '../telemetry/packet-events.ts';

/** This file name stands for standard output. */
const STDOUT = '-';

const SHORT_SEC = 60;
const LONG_SEC = 600;
const SYN_ACK = 0x12;
const PROTO_ICMP = 1;
const PROTO_ICMPV6 = 58;

/** Drop reasons of traffic that never leaves the link. AWS does not log it. */
const UNLOGGED_REASONS: ReadonlySet<string> = new Set(['link-scope', 'neighbour-spoof']);

export interface FlowLogsParts {
  readonly observatory: Observatory;
  readonly configs: readonly FlowLogConfig[];
  readonly onTrouble: (log: string, message: string) => void;
  /** The stream for a file named `-`. */
  readonly stdout: NodeJS.WriteStream;
}

export class FlowLogs {
  private readonly observatory: Observatory;
  private readonly logs: readonly FlowLog[];
  private readonly names: LogNames;
  private readonly harvester: FlowHarvester;
  private readonly baseSec: number;
  private readonly stopListening: () => void;
  private timer: NodeJS.Timeout | undefined;
  private interval: number;
  /** Loop clock at the start of the interval. */
  private intervalStartMs: number;
  private ticks = 0;
  private closing: Promise<void> = Promise.resolve();

  constructor({ observatory, configs, onTrouble, stdout }: FlowLogsParts) {
    const { dataplane } = observatory;
    this.observatory = observatory;
    this.names = new LogNames(observatory);
    this.baseSec = configs.some(({ aggregationSec }) => aggregationSec === SHORT_SEC)
      ? SHORT_SEC
      : LONG_SEC;
    this.logs = configs.map((config) => {
      const trouble = (message: string): void => onTrouble(config.name, message);
      return new FlowLog(config, openWriter(config, trouble, stdout), Date.now());
    });
    this.harvester = new FlowHarvester(
      dataplane.flows.flatMap((table, i) => {
        const accounts = dataplane.accounts[i];
        return accounts === null ? [] : [[table, accounts] as const];
      }),
    );
    this.interval = dataplane.nextInterval();
    this.intervalStartMs = dataplane.nowMs;
    this.stopListening = observatory.pump.listen({
      wants: WANT_FLOWS | WANT_UNTRACKED | WANT_DROPS,
      take: (words, doubles, at, loop) => this.take(readEvent(words, doubles, at, loop)),
      settle: (lost) => {
        if (lost > 0) this.skipAll();
      },
    });
    // A lab whose clock runs faster has shorter intervals.
    const everyMs = (this.baseSec * 1000) / dataplane.timeScale;
    this.timer = setInterval(() => void this.endInterval(), everyMs).unref();
  }

  get counts(): FlowLogCounts[] {
    return this.logs.map((log) => log.counts);
  }

  /**
   * Ends the interval, writes the logs that are due, and begins the next interval.
   * @param all whether every log is due
   */
  endInterval(all = false): Promise<void> {
    this.closing = this.closing.then(() => this.closeInterval(all));
    return this.closing;
  }

  /** Opens the files by their names again before the next lines, as after a log rotation. */
  reopen(): void {
    for (const log of this.logs) log.reopen();
  }

  /** Writes the records so far and closes the files. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    this.timer = undefined;
    await this.endInterval(true);
    this.stopListening();
    await Promise.all(this.logs.map((log) => log.end()));
  }

  private async closeInterval(all: boolean): Promise<void> {
    const { observatory, harvester, interval } = this;
    const { dataplane, pump } = observatory;
    const nowMs = Date.now();
    const startMs = this.intervalStartMs;
    this.ticks++;
    this.interval = dataplane.nextInterval();
    this.intervalStartMs = dataplane.nowMs;
    pump.flush();
    const due = this.logs.filter(
      ({ config }) => all || (this.ticks * this.baseSec) % config.aggregationSec === 0,
    );
    for (const log of due) log.beginClosing();
    await harvester.harvest(interval, (harvest) => this.noteHarvest(harvest, startMs, true));
    for (const log of due) log.close(this.names.interfaces, nowMs);
  }

  private take(event: PacketEvent | FlowEvent): void {
    switch (event.kind) {
      case 'opened':
        this.harvester.noteOpened(event);
        return;
      case 'ended': {
        const harvest = this.harvester.noteEnded(event, this.interval);
        if (harvest !== undefined) this.noteHarvest(harvest, this.intervalStartMs, false);
        return;
      }
      case 'dropped':
      case 'passed':
        this.notePacket(event);
        return;
      case 'audited':
        // What it carries is in the account of its flow, or comes as a packet that passed.
        return;
      default:
        event satisfies never;
    }
  }

  private noteHarvest(harvest: Harvest, startMs: number, isPast: boolean): void {
    const { port, rule, tuple, firstSeenMs, lastSeenMs } = harvest;
    const { observatory } = this;
    const endMs = observatory.wallMs(lastSeenMs);
    const firstMs = Math.min(endMs, observatory.wallMs(firstSeenMs ?? startMs));
    for (const [direction, way] of [
      ['ingress', harvest.in],
      ['egress', harvest.out],
    ] as const) {
      if (way.packets === 0) continue;
      this.note(
        port,
        tuple,
        direction,
        rule,
        undefined,
        { ...way, startMs: firstMs, endMs },
        isPast,
      );
    }
  }

  private notePacket(event: PacketEvent): void {
    const { port, tuple, direction, reason, isTracked, packets, bytes, tcpFlags } = event;
    if (tuple === undefined || (reason === undefined && isTracked)) return;
    if (reason !== undefined && UNLOGGED_REASONS.has(reason)) return;
    const atMs = this.observatory.wallMs(event.timeMs);
    const way: CarriedOneWay = { packets, bytes, tcpFlags: seenFlags(tcpFlags) };
    this.note(
      port,
      tuple,
      direction,
      event.rule,
      reason,
      { ...way, startMs: atMs, endMs: atMs },
      false,
    );
  }

  private note(
    port: number,
    tuple: Tuple,
    direction: 'ingress' | 'egress',
    rule: number | undefined,
    reason: string | undefined,
    sum: Sighting['sum'],
    isPast: boolean,
  ): void {
    const { names, observatory } = this;
    const name = names.interfaces.get(port)?.name;
    if (name === undefined || (reason === undefined && names.isExempt(tuple))) return;
    const { family, protocol, localAddress, remoteAddress } = tuple;
    const isIcmp = protocol === PROTO_ICMP || protocol === PROTO_ICMPV6;
    const localPort = isIcmp ? 0 : tuple.localPort;
    const remotePort = isIcmp ? 0 : tuple.remotePort;
    const isOut = direction === 'egress';
    // It may have passed by a rule that has gone since.
    const by = rule === undefined ? undefined : observatory.ruleOf(rule);
    const sighting: Sighting = {
      port,
      key: {
        family,
        direction,
        protocol,
        srcaddr: isOut ? localAddress : remoteAddress,
        dstaddr: isOut ? remoteAddress : localAddress,
        srcport: isOut ? localPort : remotePort,
        dstport: isOut ? remotePort : localPort,
        action: reason === undefined ? 'ACCEPT' : 'REJECT',
        ruleId: by?.id,
        groupId: this.groupOf(rule),
        isAudited: by?.audit === true,
        dropReason: reason,
        isRemoteLocal: names.isLocal(remoteAddress),
      },
      sum,
    };
    for (const log of this.logs) if (log.isAbout(name)) log.add(sighting, isPast);
  }

  private groupOf(rule: number | undefined): string | undefined {
    if (rule === undefined) return undefined;
    const { inForce, audits } = this.observatory;
    const id = inForce.get(rule)?.groupId ?? audits.get(rule)?.groupId;
    return id === '' ? undefined : id;
  }

  private skipAll(): void {
    this.harvester.resync();
    for (const log of this.logs) log.skip(this.names.interfaces.keys());
  }
}

/** Converts TCP flags to the SEEN_… bits of the accounts. */
function seenFlags(tcpFlags: number): number {
  const seen = tcpFlags & (SEEN_FIN | SEEN_SYN | SEEN_RST);
  return (tcpFlags & SYN_ACK) === SYN_ACK ? seen | SEEN_SYN_ACK : seen;
}

function openWriter(
  { file, rotation }: FlowLogConfig,
  onTrouble: (message: string) => void,
  stdout: NodeJS.WriteStream,
): LineWriter {
  if (file === STDOUT) return openStdoutWriter(stdout);
  const writer = openFileWriter(file, rotation, onTrouble);
  writer.open();
  return writer;
}
