/**
 * The flow logs of the daemon: from events and accounts to lines, interval by interval.
 *
 * Theory of operation
 *
 * Two sources. What tracked flows carried comes from their accounts, at the end of an interval or when they
 * end (flow-log-harvest.ts). What was dropped, and what passed untracked, comes packet by packet as
 * events. Both become sightings, which each log takes or leaves.
 *
 * An interval ends in this order: its number goes up, so that flows begin to note flags and first packets
 * anew; the ring is emptied, so that the harvester knows which flows there are; each log that is due puts
 * its table aside; the accounts are read into the tables that were put aside, in slices; the lines are
 * written. All logs share one interval, 60 s if any of them wants that and 600 s otherwise; a log of
 * 600 s beside one of 60 s closes every tenth.
 *
 * Packets never wait: a ring or a table that is full, or a disk, costs records, which is counted and told
 * as SKIPDATA.
 */
import { WANT_DROPS, WANT_FLOWS, WANT_UNTRACKED } from '../../engine/events.ts';
import { SEEN_FIN, SEEN_RST, SEEN_SYN, SEEN_SYN_ACK } from '../../conntrack/accounts.ts';
import { FlowLog, type FlowLogCounts, type Sighting } from './flow-log.ts';
import { FlowHarvester, type CarriedOneWay, type Harvest } from './flow-log-harvest.ts';
import { openFileWriter, openStdoutWriter, type LineWriter } from './flow-log-writer.ts';
import type { FlowLogConfig } from '../config/config.ts';
import { LogNames } from './flow-log-names.ts';
import type { Observatory } from '../views/observatory.ts';
import { readTold, type FlowTold, type PacketTold, type Tuple } from '../views/told.ts';

/** Name of the file that stands for standard output. */
const STDOUT = '-';

const SHORT_SEC = 60;
const LONG_SEC = 600;
const SYN_ACK = 0x12;
const PROTO_ICMP = 1;
const PROTO_ICMPV6 = 58;

/** Reasons of what never leaves the link, which AWS does not log. */
const UNLOGGED_REASONS: ReadonlySet<string> = new Set(['link-scope', 'neighbour-spoof']);

export interface FlowLogsParts {
  readonly observatory: Observatory;
  readonly configs: readonly FlowLogConfig[];
  readonly onTrouble: (log: string, message: string) => void;
  /** Where a file named `-` goes. */
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
      take: (words, doubles, at, loop) => this.take(readTold(words, doubles, at, loop)),
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

  /** Ends the interval, writes what is due, and begins the next one. @param all every log is due */
  endInterval(all = false): Promise<void> {
    this.closing = this.closing.then(() => this.closeInterval(all));
    return this.closing;
  }

  /** Has the files opened by their names before the next lines, as after a log rotation. */
  reopen(): void {
    for (const log of this.logs) log.reopen();
  }

  /** Writes what there is and closes the files. */
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

  private take(told: PacketTold | FlowTold): void {
    switch (told.kind) {
      case 'opened':
        this.harvester.noteOpened(told);
        return;
      case 'ended': {
        const harvest = this.harvester.noteEnded(told, this.interval);
        if (harvest !== undefined) this.noteHarvest(harvest, this.intervalStartMs, false);
        return;
      }
      case 'dropped':
      case 'passed':
        this.notePacket(told);
        return;
      default:
        told satisfies never;
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

  private notePacket(told: PacketTold): void {
    const { port, tuple, direction, reason, isTracked, packets, bytes, tcpFlags } = told;
    if (tuple === undefined || (reason === undefined && isTracked)) return;
    if (reason !== undefined && UNLOGGED_REASONS.has(reason)) return;
    const atMs = this.observatory.wallMs(told.timeMs);
    const way: CarriedOneWay = { packets, bytes, tcpFlags: seenFlags(tcpFlags) };
    this.note(
      port,
      tuple,
      direction,
      told.rule,
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
        ruleId: rule === undefined ? undefined : observatory.ruleOf(rule)?.id,
        groupId: rule === undefined ? undefined : observatory.inForce.get(rule)?.groupId,
        dropReason: reason,
        isRemoteLocal: names.isLocal(remoteAddress),
      },
      sum,
    };
    for (const log of this.logs) if (log.isAbout(name)) log.add(sighting, isPast);
  }

  private skipAll(): void {
    this.harvester.resync();
    for (const log of this.logs) log.skip(this.names.interfaces.keys());
  }
}

/** TCP flags as the accounts keep them. */
function seenFlags(tcpFlags: number): number {
  const seen = tcpFlags & (SEEN_FIN | SEEN_SYN | SEEN_RST);
  return (tcpFlags & SYN_ACK) === SYN_ACK ? seen | SEEN_SYN_ACK : seen;
}

function openWriter(
  { file, rotation }: FlowLogConfig,
  onTrouble: (message: string) => void,
  stdout: NodeJS.WriteStream,
): LineWriter {
  return file === STDOUT ? openStdoutWriter(stdout) : openFileWriter(file, rotation, onTrouble);
}
