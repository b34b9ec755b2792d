/**
 * This file answers `sgctl explain --live`: it explains by the configuration in force and adds the tracked
 * connections.
 */
import type { Explanation, Service } from '../explain/explanation.ts';
import { answerQuestion } from '../explain/question-ends.ts';
import { networkOf, type QuestionText } from '../explain/question.ts';
import type { Config } from '../config/config.ts';
import type { Observatory } from '../telemetry/observatory.ts';
import { findConnections, type Connection } from './connections.ts';
import { learntNames } from './names-view.ts';

/** The explanation for one source and one destination. */
export interface ExplainedPair {
  readonly from: string;
  readonly to: string;
  readonly explanation: Explanation;
  /** The first tracked connections that such a packet belongs to, at either gate. */
  readonly connections: readonly Connection[];
}

/** An explanation by the rules in force, with the tracked connections. */
export type LiveExplanation =
  /** The question names something that does not exist here. */
  | { readonly outcome: 'misunderstood'; readonly message: string; readonly hint: string }
  | {
      readonly outcome: 'explained';
      readonly service: Service;
      /** At least one; several where an end stands for several. */
      readonly pairs: readonly ExplainedPair[];
    };

/**
 * Explains by the configuration in force, with the tracked connections.
 * @param config the one in force; it may say more than the observatory's (PolicyModel.fenced)
 */
export async function explainLive(
  config: Config,
  text: QuestionText,
  observatory: Observatory,
): Promise<LiveExplanation> {
  const network = { ...networkOf(config), learntBy: learntNames(observatory) };
  const answers = answerQuestion(config, text, network);
  if (!answers.ok)
    return { outcome: 'misunderstood', message: answers.message, hint: answers.hint };
  const { service, pairs } = answers.value;
  const { protocol } = service;
  const port =
    service.kind === 'ports' ? service.port : service.kind === 'icmp' ? service.type : undefined;
  const asked = pairs.flatMap((pair) =>
    pair.explanation.answers.map((answer) => ({ pair, answer })),
  );
  const found = await findConnections(
    observatory.dataplane.flows,
    observatory.portNames(),
    asked.map(({ answer: { from, to } }) => ({
      from: from.address,
      to: to.address,
      protocol,
      port,
    })),
  );
  const explained = pairs.map((pair) => {
    const { from, to, explanation } = pair;
    const connections = found.flatMap((some, i) => (asked[i].pair === pair ? some : []));
    return { from, to, explanation, connections };
  });
  return { outcome: 'explained', service, pairs: explained };
}
