/** What `sgctl explain` does: reads the question and the file, answers, prints. */
import type { Command } from 'commander';
import type { Parsed } from '../addr/address.ts';
import type { Config } from '../control/config/config.ts';
import {
  networkOf,
  parseQuestion,
  resolveQuestion,
  type QuestionText,
} from '../control/views/explain.ts';
import { parsePort, SERVICE_WORDS } from '../control/views/explain-names.ts';
import { explain } from '../policy/explain.ts';
import type { Explanation } from '../policy/explanation.ts';
import { ask } from '../control/socket/control-client.ts';
import { loadOrPrint } from './check.ts';
import { formatConnections } from './connections.ts';
import { formatExplanation } from './explain-text.ts';
import type { ExplainOptions } from './explain.ts';
import { EXIT_FAILED, EXIT_OK } from './output.ts';
import { printJson } from './traffic-text.ts';
import { findSocket } from './socket.ts';

/** The configuration has errors: nothing can be said about the question. */
const EXIT_BAD_CONFIG = 3;

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
  const config = await loadOrPrint(file);
  if (config === undefined) return EXIT_BAD_CONFIG;
  const { verdict } = answerFrom(config, text, command, options.json ?? false);
  return verdict === 'allowed' ? EXIT_OK : EXIT_FAILED;
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
  const { explanation, connections, service } = answer;
  if (explanation.answers.length === 0) command.error(`error: ${nothingText(text, explanation)}`);
  if (options.json === true) {
    const question = { ...text, service, detail: undefined };
    printJson({ question, ...explanation, connections });
  } else {
    console.log(formatExplanation(titleOf(text), explanation));
    console.log(
      connections.length === 0 ? '\nNo such connection is tracked now.' : '\nTracked now:',
    );
    if (connections.length > 0) console.log(formatConnections(connections));
  }
  return explanation.verdict === 'allowed' ? EXIT_OK : EXIT_FAILED;
}

function answerFrom(
  config: Config,
  text: QuestionText,
  command: Command,
  asJson: boolean,
): Explanation {
  const question = takeOrExit(resolveQuestion(config, text), command);
  const explanation = explain(networkOf(config), question);
  if (explanation.answers.length === 0) command.error(`error: ${nothingText(text, explanation)}`);
  if (asJson) {
    const asked = { ...text, service: question.service, detail: undefined };
    printJson({ file: config.file, question: asked, ...explanation });
  } else {
    console.log(formatExplanation(titleOf(text), explanation));
  }
  return explanation;
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
  return {
    ok: false,
    message: `the question is asked twice: '${short}' and --${twice}`,
    hint: 'give the one or the other',
  };
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
    return { ok: false, message, hint };
  }
  const [service] = given;
  return { ok: true, value: { from, to, service, detail: options[service]! } };
}

function takeOrExit<T>(parsed: Parsed<T>, command: Command): T {
  if (parsed.ok) return parsed.value;
  return command.error(`error: ${parsed.message}\n    ${parsed.hint}`);
}
