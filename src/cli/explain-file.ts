/** What `sgctl explain` does: reads the question and the file, answers, prints. */
import type { Command } from 'commander';
import { refuse, type Parsed } from '../addr/address.ts';
import { parseQuestion, type QuestionText } from '../explain/question.ts';
import { answerQuestion } from '../explain/question-ends.ts';
import { parsePort, SERVICE_WORDS } from '../explain/question-names.ts';
import type { Explanation, Service } from '../explain/explanation.ts';
import { ask } from '../control-socket/control-client.ts';
import type { ExplainedPair } from '../queries/explain-live.ts';
import { loadOrPrint } from './check.ts';
import { formatConnections } from './connections.ts';
import { formatExplanation, formatPairs } from './explain-text.ts';
import type { ExplainOptions } from './explain-options.ts';
import { EXIT_FAILED, EXIT_OK } from './output.ts';
import { printJson } from './traffic-text.ts';
import { findSocket } from './socket.ts';

/** The configuration has errors: nothing can be said about the question. */
const EXIT_BAD_CONFIG = 3;
/** Nothing is refused for certain, and not everything is allowed for certain. */
const EXIT_UNDECIDABLE = 4;

/** @returns the exit code; ends by command.error if the question is wrong */
export async function explainFile(
  file: string | undefined,
  question: string | undefined,
  options: ExplainOptions,
  command: Command,
): Promise<number> {
  if (file === undefined)
    return command.error("error: missing required argument 'file' (or --live)");
  const text = takeOrExit(readQuestion(question, options), command);
  const config = await loadOrPrint(file, { needsInterfaces: true });
  if (config === undefined) return EXIT_BAD_CONFIG;
  const { service, pairs } = takeOrExit(answerQuestion(config, text), command);
  return tellAnswers(pairs, { text, service, options, command, file: config.file });
}

/** The same, asked of a running daemon. */
export async function explainLive(
  question: string | undefined,
  options: ExplainOptions,
  command: Command,
): Promise<number> {
  const text = takeOrExit(readQuestion(question, options), command);
  const answer = await ask(findSocket(options), 'explain', text);
  if (answer.outcome === 'misunderstood')
    return command.error(`error: ${answer.message}\n    ${answer.hint}`);
  return tellAnswers(answer.pairs, { text, service: answer.service, options, command });
}

interface Asked {
  readonly text: QuestionText;
  readonly service: Service;
  readonly options: ExplainOptions;
  readonly command: Command;
  /** The configuration that was asked; undefined: a running daemon. */
  readonly file?: string;
}

/** A pair of ends with what is said of it; of a running daemon with the connections there are. */
type Pair = Omit<ExplainedPair, 'connections'> & Partial<ExplainedPair>;

/** Prints them: one as it is, several below a table of their verdicts. @returns the exit code */
function tellAnswers(pairs: readonly Pair[], asked: Asked): number {
  const { text, options, command } = asked;
  if (pairs.every(({ explanation }) => explanation.answers.length === 0))
    return command.error(`error: ${nothingText(text, pairs[0].explanation)}`);
  if (options.json === true) {
    const answers = pairs.map((pair) => answerJson(pair, asked));
    printJson(answers.length === 1 ? answers[0] : answers);
  } else {
    const sections = pairs.map((pair) => formatPair(pair, text));
    console.log(
      pairs.length === 1
        ? sections[0]
        : [formatPairs(titleOf(text), pairs), ...sections].join('\n\n'),
    );
  }
  const verdicts = new Set(pairs.map(({ explanation }) => explanation.verdict));
  if (verdicts.has('refused')) return EXIT_FAILED;
  return verdicts.has('undecidable') ? EXIT_UNDECIDABLE : EXIT_OK;
}

function answerJson({ from, to, explanation, connections }: Pair, asked: Asked): unknown {
  const { text, service, file } = asked;
  const question = { ...text, from, to, service, detail: undefined };
  return { file, question, ...explanation, connections };
}

function formatPair({ from, to, explanation, connections }: Pair, text: QuestionText): string {
  const told = formatExplanation(titleOf({ ...text, from, to }), explanation);
  if (connections === undefined) return told;
  if (connections.length === 0) return `${told}\n\nNo such connection is tracked now.`;
  return `${told}\n\nTracked now:\n${formatConnections(connections)}`;
}

/** The question as it can be asked again. */
function titleOf({ from, to, service, detail, sourcePort }: QuestionText): string {
  const source = sourcePort === undefined ? '' : ` from port ${sourcePort}`;
  return `${from} -> ${to} ${service} ${detail}${source}`;
}

function nothingText({ from, to }: QuestionText, { notAsked }: Explanation): string {
  const whys = notAsked.map(({ family, why }) => `IPv${family}: ${why}`);
  return `no such packet can go from ${from} to ${to}\n    ${whys.join('\n    ')}`;
}

/** The question from its short form or from the options, whichever is there. */
function readQuestion(short: string | undefined, options: ExplainOptions): Parsed<QuestionText> {
  const asked = short === undefined ? readOptions(options) : readShort(short, options);
  if (!asked.ok) return asked;
  const sourcePort = options.sourcePort === undefined ? undefined : parsePort(options.sourcePort);
  if (sourcePort !== undefined && !sourcePort.ok) return sourcePort;
  return {
    ok: true,
    value: {
      ...asked.value,
      ...(sourcePort === undefined ? {} : { sourcePort: sourcePort.value }),
      ...(options.family === undefined ? {} : { family: options.family === '4' ? 4 : 6 }),
    },
  };
}

function readShort(short: string, options: ExplainOptions): Parsed<QuestionText> {
  const twice = (['from', 'to', ...SERVICE_WORDS] as const).find(
    (key) => options[key] !== undefined,
  );
  if (twice === undefined) return parseQuestion(short);
  return refuse(
    `the question is asked twice: '${short}' and --${twice}`,
    'give the one or the other',
  );
}

function readOptions(options: ExplainOptions): Parsed<QuestionText> {
  const { from, to } = options;
  if (from === undefined || to === undefined) {
    const missing = from === undefined ? '--from' : '--to';
    return {
      ok: false,
      message: `${missing} is missing`,
      hint: "give --from, --to and one of --tcp, --udp, --icmp, --icmpv6, --protocol; or 'web -> db tcp 5432'",
    };
  }
  const given = SERVICE_WORDS.filter((word) => options[word] !== undefined);
  if (given.length !== 1) {
    const hint = `give one of ${SERVICE_WORDS.map((word) => `--${word}`).join(', ')}`;
    const message =
      given.length === 0
        ? 'what is sent is missing'
        : `${given.map((word) => `--${word}`).join(' and ')} exclude each other`;
    return refuse(message, hint);
  }
  const [service] = given;
  return { ok: true, value: { from, to, service, detail: options[service]! } };
}

function takeOrExit<T>(parsed: Parsed<T>, command: Command): T {
  if (parsed.ok) return parsed.value;
  return command.error(`error: ${parsed.message}\n    ${parsed.hint}`);
}
