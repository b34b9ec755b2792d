/**
 * Finds the verdict on a case from the configuration alone, in three ways: by the compiled policy of the packet path,
 * by the plain reference, and by the explanation shown to people. The three must agree. If they don't, this program
 * is wrong, and it reports that instead of passing a test.
 */
import type { Address } from '../addr/address.ts';
import type { Config } from '../config/config.ts';
import { networkOf } from '../explain/question.ts';
import { compilePolicy } from '../policy/compile.ts';
import { GATE_EGRESS, GATE_INGRESS, UPLINK_PORT, type CompiledPolicy } from '../policy/compiled.ts';
import { explain } from '../explain/explain.ts';
import { checkPath, choosePath, isExempt, type Path } from '../explain/explain-path.ts';
import type { Explanation, Network, Service, SubnetAnswer } from '../explain/explanation.ts';
import { lookUpHost, Matcher, NO_HOST, NO_RULE } from '../policy/match.ts';
import type { Direction } from '../policy/model.ts';
import { matchingRules } from '../policy/reference.ts';
import { probeOf } from '../explain/probe.ts';
import { RuleNumbers } from '../policy/rule-numbers.ts';
import { serviceBit } from '../policy/special-addresses.ts';
import type { Case, Expected } from './suite.ts';

export interface Judgement {
  /** `undecidable`: the input does not say what it depends on. */
  readonly verdict: Expected | 'undecidable';
  /** What that is, each as a clause. */
  readonly dependsOn?: readonly string[];
  /** What each of the three says, if they disagree. */
  readonly disagreement?: string;
}

/** Compiles a configuration. Interfaces get the ports from 1 on, in their order; port 0 is the uplink. */
export function compileConfig({ model, special }: Config): CompiledPolicy {
  const ids = [...model.interfaces.keys()];
  return compilePolicy({
    model,
    ports: new Map(ids.map((id, i) => [id, i + 1])),
    ruleNumbers: new RuleNumbers(),
    special,
    generation: 1,
  });
}

export class Judge {
  private readonly network: Network;
  private readonly policy: CompiledPolicy;
  private readonly matcher: Matcher;

  /** @param policy compiled from the same configuration; a test passes another one */
  constructor(config: Config, policy = compileConfig(config)) {
    this.network = networkOf(config);
    this.policy = policy;
    this.matcher = new Matcher(policy);
  }

  judge(one: Case): Judgement {
    const path = this.pathOf(one);
    const { service } = one.check.service;
    // A packet that is dropped before the gates asks no rule.
    const checks = checkPath(this.network, path, service);
    const explanation = this.explain(one);
    // Nobody else knows what AWS asks beside groups.
    const isHeld = subnetsOf(explanation).some(({ verdict }) => verdict === 'refused');
    const isDropped = isHeld || checks.some(({ outcome }) => outcome === 'refused');
    const answers = {
      compiled: !isDropped && this.passesCompiled(path, service),
      reference: !isDropped && this.passesReference(path, service),
      explained: explanation.verdict === 'allowed',
    };
    const verdict = textOf(answers.reference);
    // The matchers ask what is known alone. They still have to agree.
    if (explanation.verdict === 'undecidable' && answers.compiled === answers.reference)
      return { verdict: 'undecidable', dependsOn: doubtsOf(explanation) };
    if (answers.compiled === answers.reference && answers.explained === answers.reference)
      return { verdict };
    const said = Object.entries(answers).map(([who, allowed]) => `${who}: ${textOf(allowed)}`);
    return { verdict, disagreement: said.join(', ') };
  }

  /** Explains a case, in one family. */
  explain({ check, family, from, to }: Case): Explanation {
    const { service } = check.service;
    return explain(this.network, { from: from.endpoint, to: to.endpoint, service, family });
  }

  private pathOf({ check, family, from, to }: Case): Path {
    const question = { from: from.endpoint, to: to.endpoint, service: check.service.service };
    const path = choosePath(this.network, question, family);
    if ('why' in path) throw new Error(`a case that can't be asked: ${path.why}`);
    return path;
  }

  private passesReference({ from, to }: Path, service: Service): boolean {
    const { model } = this.network;
    const ask = (id: string, direction: Direction, remote: Address): boolean =>
      matchingRules(model, id, direction, probeOf(service, remote)).length > 0;
    const leaves =
      from.network === undefined ||
      isExempt(this.network, to.address, service) ||
      ask(from.network.id, 'egress', to.address);
    // The platform's interface has no gate; what it opens is refused by the receiver's.
    if (to.network === undefined || to.network.isPlatform === true) return leaves;
    return (
      from.network?.isPlatform !== true && leaves && ask(to.network.id, 'ingress', from.address)
    );
  }

  /** Judges as engine/evaluate.ts does: ports by address, then the gates. */
  private passesCompiled({ from, to }: Path, service: Service): boolean {
    const source = from.network === undefined ? UPLINK_PORT : this.portOf(from.address);
    const destination = this.portOf(to.address);
    // checkPath has already checked the path by its addresses. Here: do the compiled tables have the same owners?
    if (from.network !== undefined && source === NO_HOST) return false;
    if ((destination === NO_HOST) !== (to.network === undefined)) return false;
    const leaves =
      source === UPLINK_PORT ||
      this.isCompiledExempt(to.address, service) ||
      this.matches(source, GATE_EGRESS, service, to.address);
    const { platformPort } = this.policy;
    if (destination === NO_HOST || destination === platformPort) return leaves;
    return (
      leaves &&
      source !== platformPort &&
      this.matches(destination, GATE_INGRESS, service, from.address)
    );
  }

  private matches(port: number, direction: number, service: Service, remote: Address): boolean {
    const gate = 2 * this.policy.profiles[port] + direction;
    const { protocol } = service;
    const { family, words } = remote;
    const [a0, a1 = 0, a2 = 0, a3 = 0] = words;
    const rule = this.matcher.match(gate, family, protocol, rulePort(service), a0, a1, a2, a3);
    return rule !== NO_RULE;
  }

  private portOf(address: Address): number {
    const { hosts4, hosts6 } = this.policy;
    const [a0, a1 = 0, a2 = 0, a3 = 0] = address.words;
    return lookUpHost(hosts4, hosts6, address.family, a0, a1, a2, a3);
  }

  private isCompiledExempt(address: Address, service: Service): boolean {
    const { special4, special6 } = this.policy;
    const [a0, a1 = 0, a2 = 0, a3 = 0] = address.words;
    const value = lookUpHost(special4, special6, address.family, a0, a1, a2, a3);
    return service.kind === 'ports' && (value & serviceBit(service.protocol, service.port)) !== 0;
  }
}

function doubtsOf(explanation: Explanation): readonly string[] {
  const { answers } = explanation;
  const clauses = answers.flatMap(({ gates }) => gates.flatMap(({ dependsOn }) => dependsOn ?? []));
  const more = subnetsOf(explanation).filter(({ verdict }) => verdict === 'undecidable');
  return [...new Set([...clauses, ...more.map(({ why }) => why)])];
}

function subnetsOf({ answers }: Explanation): readonly SubnetAnswer[] {
  return answers.flatMap(({ subnets }) => subnets ?? []);
}

function textOf(isAllowed: boolean): Expected {
  return isAllowed ? 'allowed' : 'denied';
}

/** The port as compiled rules have it: a port, or type and code. */
function rulePort(service: Service): number {
  switch (service.kind) {
    case 'ports':
      return service.port;
    case 'icmp':
      return (service.type << 8) | service.code;
    case 'protocol':
      return 0;
    default:
      return service satisfies never;
  }
}
