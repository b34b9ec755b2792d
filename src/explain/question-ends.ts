/**
 * This file resolves the ends of a question, which may stand for several interfaces or addresses. A security group
 * stands for the interfaces it is on, a CIDR block for the interfaces and the parts of the world in it, `internet`
 * for anybody outside.
 *
 * A word is looked up in this order: the key or id of an interface; the name or id of a group, with or without `sg:`;
 * a block; `internet` or `stranger`; any other single end (question-names.ts). `sg:NAME` means the group if an
 * interface has the same name.
 */
import {
  formatAddress,
  parseCidr,
  refuse,
  sameAddress,
  type Parsed,
  type Refused,
} from '../addr/address.ts';
import { explain } from './explain.ts';
import type { Endpoint, Explanation, Question, Service } from './explanation.ts';
import type { GroupId, NetworkInterface, PolicyModel, SecurityGroup } from '../policy/model.ts';
import { ambiguousGroupText, findGroups, groupLabel } from '../policy/vpcs.ts';
import { didYouMean, listWords } from '../source/suggest.ts';
import type { Config } from '../config/config.ts';
import { partsOfBlock } from './block-ends.ts';
import { networkOf, type QuestionText } from './question.ts';
import { findEndpoint, parseService } from './question-names.ts';
import { ANYONE_WORDS, anyoneOutside } from './strangers.ts';

/** Most pairs of ends in one answer. */
export const PAIRS_MAX = 256;

/** What of a configuration questions are asked about. */
export type QuestionConfig = Pick<Config, 'model' | 'interfaces' | 'uplink' | 'special'>;

/** One end, with a name that can be used to ask for it again. */
interface NamedEnd {
  readonly name: string;
  readonly endpoint: Endpoint;
}

/** The answer for one pair of ends. */
export interface PairAnswer {
  readonly from: string;
  readonly to: string;
  readonly question: Question;
  readonly explanation: Explanation;
}

/** The answers to a question: at least one, and several if an end stands for several. */
export interface Answers {
  readonly service: Service;
  readonly pairs: readonly PairAnswer[];
}

/** Answers a question. A pair between which no packet can go is left out, unless there is no other. */
export function answerQuestion(
  config: QuestionConfig,
  text: QuestionText,
  network = networkOf(config),
): Parsed<Answers> {
  const from = findEnds(config, text.from);
  if (!from.ok) return from;
  const to = findEnds(config, text.to);
  if (!to.ok) return to;
  const service = parseService(text.service, text.detail, text.sourcePort);
  if (!service.ok) return service;
  const count = from.value.length * to.value.length;
  if (count > PAIRS_MAX)
    return refuse(
      `${text.from} -> ${text.to} stands for ${count} pairs, and at most ${PAIRS_MAX} are answered at once`,
      'name an interface or an address at one end, or a smaller group',
    );
  const all = from.value.flatMap((source) =>
    to.value.map((destination): PairAnswer => {
      const ends = { from: source.endpoint, to: destination.endpoint, service: service.value };
      const question = text.family === undefined ? ends : { ...ends, family: text.family };
      const explanation = explain(network, question);
      return { from: source.name, to: destination.name, question, explanation };
    }),
  );
  const possible = all.filter(
    (pair) => pair.explanation.answers.length > 0 && !isIdle(pair.question),
  );
  const pairs = possible.length > 0 ? possible : all.slice(0, 1);
  return { ok: true, value: { service: service.value, pairs } };
}

/** Checks for pairs without a gate: an interface with itself, and outside with outside. */
function isIdle({ from, to }: Question): boolean {
  if (from.kind === 'address') return to.kind === 'address';
  return to.kind === 'interface' && from.interfaceId === to.interfaceId;
}

function findEnds(config: QuestionConfig, text: string): Parsed<readonly NamedEnd[]> {
  const { model } = config;
  const networks = [...model.interfaces.values()];
  const named = networks.find(({ name }) => name === text) ?? model.interfaces.get(text);
  if (named !== undefined) return one(text, { kind: 'interface', interfaceId: named.id });
  const groups = [...model.groups.values()];
  const found = findGroups(groups, text);
  if (found.length === 1) return membersOf(found[0], networks);
  if (text.startsWith('sg:')) return unknownGroup(text.slice('sg:'.length), groups, found);
  if (isBlock(text)) return endsInBlock(text, model);
  if (ANYONE_WORDS.includes(text))
    return {
      ok: true,
      value: anyoneOutside(config).map((address) => ({
        name: formatAddress(address),
        endpoint: { kind: 'address', address },
      })),
    };
  const endpoint = findEndpoint(config, text, true);
  if (endpoint.ok) return one(text, endpoint.value);
  return found.length > 1 ? unknownGroup(text, groups, found) : endpoint;
}

function one(name: string, endpoint: Endpoint): Parsed<readonly NamedEnd[]> {
  return { ok: true, value: [{ name, endpoint }] };
}

export function membersOfGroup(
  id: GroupId,
  networks: readonly NetworkInterface[],
): readonly NetworkInterface[] {
  return networks.filter(({ groupIds }) => groupIds.includes(id));
}

function membersOf(
  group: SecurityGroup,
  networks: readonly NetworkInterface[],
): Parsed<readonly NamedEnd[]> {
  const members = membersOfGroup(group.id, networks);
  if (members.length === 0) return refuseIdleGroup(group);
  return {
    ok: true,
    value: members.map(({ id, name }) => ({
      name,
      endpoint: { kind: 'interface', interfaceId: id },
    })),
  };
}

/** Refuses a group without members. */
export function refuseIdleGroup(group: SecurityGroup): Refused {
  return refuse(
    `the security group '${groupLabel(group)}' is on no interface`,
    'name a group that is on one, or put it on one',
  );
}

/** Refuses a name that no group has, or that several have. */
export function unknownGroup(
  name: string,
  groups: readonly SecurityGroup[],
  found: readonly SecurityGroup[],
): Refused {
  if (found.length > 1) return refuse(ambiguousGroupText(name, found), 'name one VPC');
  const names = groups.map(groupLabel);
  return refuse(
    `there is no security group '${name}'${didYouMean(name, names)}`,
    `groups: ${listWords(names)}`,
  );
}

/** Recognises a block such as `10.0.0.0/8`, also with a typing error in it. No group name looks like one. */
function isBlock(text: string): boolean {
  return /^[\d.]+\/|^[\da-f.]*:[\da-f:.]*\//i.test(text);
}

function endsInBlock(text: string, model: PolicyModel): Parsed<readonly NamedEnd[]> {
  const block = parseCidr(text, 'refuse');
  if (!block.ok) return block;
  const parts = partsOfBlock(block.value, text, model);
  if (!parts.ok) return parts;
  const networks = [...model.interfaces.values()];
  const ends = parts.value.map((address): NamedEnd => {
    const owner = networks.find(({ addresses }) =>
      addresses.some((own) => sameAddress(own, address)),
    );
    const name = formatAddress(address);
    return owner === undefined
      ? { name, endpoint: { kind: 'address', address } }
      : { name, endpoint: { kind: 'interface', interfaceId: owner.id, address } };
  });
  return { ok: true, value: ends };
}
