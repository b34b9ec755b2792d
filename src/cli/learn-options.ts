/** The options of `sgctl learn`. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import { parseCidr, type Cidr } from '../addr/address.ts';
import type { OpenService } from '../learn/needs.ts';
import { THRESHOLDS, type Thresholds } from '../learn/set-apart.ts';
import { hasPorts, parseProtocol } from '../policy/protocols.ts';
import type { Direction } from '../policy/model.ts';
import { addAddressOption } from './address-option.ts';
import { parseDurationOption, wholeNumber } from './filter-options.ts';
import { INPUT_ARGUMENT } from './input-words.ts';
import { addSocketOptions, type SocketOptions } from './socket.ts';
import { addTemplateOptions, type TemplateOptions } from './template-options.ts';

export const OUTPUTS = ['yaml', 'cloudformation', 'terraform'] as const;
export const WIDEN_MAX = 4;
const WIDEN_LIMIT = 1_000_000;
const FOR_MS = 60_000;
const PORT_MAX = 65_535;
const DAYS_MAX = 31;

export interface LearnOptions extends TemplateOptions, SocketOptions {
  readonly live?: readonly string[];
  readonly for: number;
  readonly config?: string;
  readonly tighten?: string;
  readonly own?: readonly Cidr[];
  readonly format?: string;
  readonly minFlows: number;
  readonly minDays: number;
  readonly scanPlaces: number;
  readonly dynamicPorts: number;
  readonly keepUnanswered?: true;
  readonly widenMax: number;
  readonly anyone?: readonly OpenService[];
  readonly anywhere?: readonly OpenService[];
  readonly output?: (typeof OUTPUTS)[number];
  readonly address?: ReadonlyMap<string, string>;
  readonly json?: true;
}

export function addLearnOptions(command: Command): Command {
  command
    .addOption(
      new Option(
        '--live <device>',
        'from an interface of this host, by libpcap; may be given more than once',
      ).argParser(collect),
    )
    .addOption(
      new Option('--for <duration>', 'how long to look, live or at the daemon: 30s, 5m, 2h')
        .default(FOR_MS, '60s')
        .argParser(parseDurationOption),
    )
    .option('-c, --config <file>', `whose interfaces they are: ${INPUT_ARGUMENT}`)
    .addOption(
      new Option('--tighten <file>', 'the same, and say what of its groups was not used').conflicts(
        ['config', 'output', 'anyone', 'anywhere'],
      ),
    )
    .addOption(
      new Option(
        '--own <cidr>',
        'addresses that are interfaces, where no input says it; may be given more than once',
      )
        .argParser(collectCidr)
        .conflicts(['config', 'tighten']),
    )
    .option('--format <fields>', "fields of a flow log without a header line, as '${srcaddr} …'");
  addThresholdOptions(command)
    .addOption(
      new Option(
        '--widen-max <factor>',
        'a rule admits at most so many times as many pairs as were seen',
      )
        .default(WIDEN_MAX)
        .argParser(parseFactor),
    )
    .option(
      '--anyone <service>',
      'open to everybody, as tcp/443: from 0.0.0.0/0 and ::/0',
      collectService('ingress'),
    )
    .option(
      '--anywhere <service>',
      'asked for everywhere, as udp/53: to 0.0.0.0/0 and ::/0',
      collectService('egress'),
    )
    .addOption(
      new Option('-o, --output <form>', 'as what the groups are written (default: yaml)').choices(
        OUTPUTS,
      ),
    )
    .addOption(
      new Option('--json', 'print groups, evidence and what is set apart as JSON').conflicts(
        'output',
      ),
    );
  return addSocketOptions(addAddressOption(addTemplateOptions(command)));
}

function addThresholdOptions(command: Command): Command {
  return command
    .option(
      '--min-flows <number>',
      'a service with fewer flows is a one-off, and set apart',
      wholeNumber(1, 1_000_000),
      THRESHOLDS.minFlows,
    )
    .option(
      '--min-days <number>',
      'so is one that was seen on fewer days',
      wholeNumber(1, DAYS_MAX),
      THRESHOLDS.minDays,
    )
    .option(
      '--scan-places <number>',
      'who asks at so many places, of which less than a quarter answer, is a scanner',
      wholeNumber(2, 1_000_000),
      THRESHOLDS.scanPlaces,
    )
    .option(
      '--dynamic-ports <number>',
      'so many ports at one place, each with few flows from the same peers, are one range; 0: never',
      wholeNumber(0, 65_535),
      THRESHOLDS.dynamicPorts,
    )
    .option('--keep-unanswered', 'propose rules also for TCP that nobody has answered');
}

export function thresholdsOf(options: LearnOptions): Thresholds {
  const { minFlows, minDays, scanPlaces, dynamicPorts, keepUnanswered } = options;
  return {
    ...THRESHOLDS,
    ...{ minFlows, minDays, scanPlaces, dynamicPorts, keepsUnanswered: keepUnanswered === true },
  };
}

function collect(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), text];
}

function collectCidr(text: string, before: readonly Cidr[] | undefined): readonly Cidr[] {
  const whole = text.includes('/') ? text : `${text}/${text.includes(':') ? 128 : 32}`;
  const parsed = parseCidr(whole, 'refuse');
  if (!parsed.ok) throw new InvalidArgumentError(`${parsed.message}: ${parsed.hint}`);
  return [...(before ?? []), parsed.value];
}

function collectService(
  direction: Direction,
): (text: string, before: readonly OpenService[] | undefined) => readonly OpenService[] {
  return (text, before) => {
    const [name, port, ...rest] = text.split('/');
    const protocol = parseProtocol(name);
    const service = Number(port);
    const isPort = /^\d{1,5}$/.test(port ?? '') && service <= PORT_MAX;
    if (!protocol.ok || !hasPorts(protocol.value) || !isPort || rest.length > 0)
      throw new InvalidArgumentError('Write a protocol and a port, as tcp/443.');
    return [...(before ?? []), { direction, protocol: protocol.value, service }];
  };
}

function parseFactor(text: string): number {
  const factor = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || factor < 1 || factor > WIDEN_LIMIT)
    throw new InvalidArgumentError(`It is a number from 1 to ${WIDEN_LIMIT}.`);
  return factor;
}
