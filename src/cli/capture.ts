/** `sgctl capture`: packets with their verdicts, for Wireshark. */
import { closeSync, fstatSync, openSync, writeSync } from 'node:fs';
import { Option, type Command } from 'commander';
import {
  SNAP_LENGTH_DEFAULT,
  SNAP_LENGTH_MAX,
  type CapturedPacket,
  type CaptureQuestion,
} from '../queries/capture-stream.ts';
import { ask, follow } from '../control-socket/control-client.ts';
import type { InterfaceView } from '../queries/interfaces-view.ts';
import { DIRECTIONS } from '../queries/trace-stream.ts';
import { meaningOf, REASON_NAMES } from '../queries/verdict-view.ts';
import { version } from '../service/version.ts';
import { LabError, messageOf } from '../lab/errors.ts';
import { count as countOf } from '../source/count.ts';
import {
  addFilterOptions,
  choiceList,
  FILTER_HELP,
  parseDurationOption,
  readFilter,
  wholeNumber,
  type FilterOptions,
} from './filter-options.ts';
import { drained, runLive } from './live.ts';
import { enhancedPacket, interfaceDescription, sectionHeader } from './pcapng.ts';
import { addSocketOptions, findSocket, type SocketOptions } from './socket.ts';
import { placeText, ruleWords } from './traffic-text.ts';
import { exitCodeHelp } from './exit-codes.ts';

interface Options extends FilterOptions, SocketOptions {
  readonly write?: string;
  readonly count?: number;
  readonly duration?: number;
  readonly snaplen: number;
  readonly dropsOnly?: true;
  readonly direction?: (typeof DIRECTIONS)[number];
  readonly reason?: readonly string[];
}

const COUNT_MAX = 1_000_000_000;
/** What was captured is whatever went over the wire. */
const FILE_MODE = 0o600;
const STDOUT = '-';

export function addCaptureCommand(program: Command): void {
  const command = program
    .command('capture')
    .summary('packets with verdict, reason and rule, for Wireshark')
    .description(
      'Writes the packets that the gates judge as pcapng: passed and dropped, each with its verdict, reason and rule as a comment, one capture interface for each interface here. A packet between two interfaces here is judged, and captured, twice.',
    );
  addFilterOptions(command)
    .addOption(
      new Option('-w, --write <file>', 'where to; - is stdout, which is what a pipe gets anyway'),
    )
    .option('-c, --count <number>', 'stop after so many packets', wholeNumber(1, COUNT_MAX))
    .option('--duration <duration>', 'stop after 30s, 5m, 2h', parseDurationOption)
    .addOption(
      new Option('-s, --snaplen <bytes>', 'at most so many bytes of a packet')
        .default(SNAP_LENGTH_DEFAULT)
        .argParser(wholeNumber(1, SNAP_LENGTH_MAX)),
    )
    .option('--drops-only', 'leave out what passes')
    .addOption(new Option('--direction <direction>', 'only this direction').choices(DIRECTIONS))
    .addOption(choiceList('--reason <reason>', 'only drops for this reason', REASON_NAMES))
    .addHelpText(
      'after',
      `${FILTER_HELP}

Packets are as they came from the sender: those that its kernel left for the network
card to cut or to checksum show as one long packet, or with a checksum that is not
filled in yet. Copying costs the packet path some time for as long as it goes on.

${exitCodeHelp('sgctl capture')}

Examples:
  sgctl capture -w web.pcapng --interface eni-web-1
  sgctl capture --drops-only --count 100 -w drops.pcapng
  sgctl capture --port 443 -w - | wireshark -k -i -
  ssh host sgctl capture -w - | tcpdump -n -r -`,
    )
    .action(runCapture);
  addSocketOptions(command);
}

async function runCapture(options: Options, command: Command): Promise<void> {
  const { write: file = STDOUT, count = Infinity, duration } = options;
  if (file === STDOUT && process.stdout.isTTY)
    command.error('error: a capture is not for a terminal; give --write FILE, or pipe it');
  const socket = findSocket(options);
  const interfaces = await ask(socket, 'interfaces', {});
  const output = openOutput(file);
  const writer = new CaptureWriter(output, options.snaplen, interfaces);
  try {
    await runLive(async (stop) => {
      const timer = duration === undefined ? undefined : setTimeout(() => stop.abort(), duration);
      try {
        await follow(socket, 'capture', readQuestion(options), {
          signal: stop.signal,
          begin: () => console.error('sgctl: capturing; Ctrl-C ends it'),
          take: ({ packets, lost }, missed) => {
            writer.lost += lost + missed;
            for (const packet of packets) if (writer.packets < count) writer.add(packet);
            if (writer.packets >= count) stop.abort();
            return output.drained();
          },
        });
      } finally {
        clearTimeout(timer);
      }
    });
  } finally {
    output.close();
  }
  const lost = writer.lostInAll === 0 ? '' : `, ${writer.lostInAll} missed`;
  console.error(`sgctl: ${countOf(writer.packets, 'packet')} captured${lost}`);
}

function readQuestion(options: Options): CaptureQuestion {
  const { snaplen, dropsOnly, direction, reason } = options;
  return {
    ...readFilter(options),
    snapLength: snaplen,
    ...(dropsOnly === undefined ? {} : { verdict: 'dropped' }),
    ...(direction === undefined ? {} : { direction }),
    ...(reason === undefined ? {} : { reasons: reason }),
  };
}

interface Output {
  write(bytes: Uint8Array): void;
  /** Undefined: there is room. */
  drained(): void | Promise<void>;
  close(): void;
}

function openOutput(file: string): Output {
  if (file === STDOUT || isStdout(file)) {
    return {
      write: (bytes) => void process.stdout.write(bytes),
      drained,
      close: () => undefined,
    };
  }
  let fd: number;
  try {
    fd = openSync(file, 'w', FILE_MODE);
  } catch (thrown) {
    throw new LabError(`cannot write ${file}: ${messageOf(thrown)}`, 'name another with --write');
  }
  return {
    // Waits for the disk: then the daemon counts what we miss, and nothing piles up here.
    write: (bytes) => {
      for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
    },
    drained: () => undefined,
    close: () => closeSync(fd),
  };
}

/** `/dev/stdout` of a pipe would be opened anew, and then block. */
function isStdout(file: string): boolean {
  return file === '/dev/stdout' && fstatSync(1).isFIFO();
}

/** Turns captured packets into pcapng. */
export class CaptureWriter {
  private readonly output: Pick<Output, 'write'>;
  private readonly snapLength: number;
  private readonly numbers = new Map<string, number>();
  packets = 0;
  /** Since the last packet that was written. */
  lost = 0;
  private lostBefore = 0;

  /** @param interfaces those there are: each is described, whether or not a packet of it comes */
  constructor(
    output: Pick<Output, 'write'>,
    snapLength: number,
    interfaces: readonly InterfaceView[],
  ) {
    this.output = output;
    this.snapLength = snapLength;
    output.write(sectionHeader(`sgctl ${version}`));
    for (const { name, device, netns } of interfaces)
      this.describe(name, netns === undefined ? device : `${device} in ${netns}`);
  }

  get lostInAll(): number {
    return this.lostBefore + this.lost;
  }

  add(packet: CapturedPacket): void {
    const { timeMs, direction, length } = packet;
    const interfaceNumber =
      this.numbers.get(packet.interface) ?? this.describe(packet.interface, '');
    this.output.write(
      enhancedPacket({
        interfaceNumber,
        timeMs,
        data: Buffer.from(packet.data, 'base64'),
        length,
        direction: direction === 'ingress' ? 'inbound' : 'outbound',
        comment: commentOf(packet),
        lost: this.lost,
      }),
    );
    this.packets++;
    this.lostBefore += this.lost;
    this.lost = 0;
  }

  private describe(name: string, description: string): number {
    const number = this.numbers.size;
    this.numbers.set(name, number);
    this.output.write(interfaceDescription(name, description, this.snapLength));
    return number;
  }
}

/** `DROP ingress-rules: no ingress rule …`, `PASS sg:web tcp 443 from 0.0.0.0/0 (sgr-…, demo.yaml:22)`. */
export function commentOf({ reason, rule }: CapturedPacket): string {
  if (reason !== undefined) {
    const of = rule === undefined ? '' : ` (of a flow by ${rule.id})`;
    return `DROP ${reason}: ${meaningOf(reason)}${of}`;
  }
  if (rule === undefined) return 'PASS no rule asked';
  const { id, origin } = rule;
  const place = origin === undefined ? '' : ` (${id}, ${placeText(origin)})`;
  return `PASS ${ruleWords(rule)}${place}`;
}
