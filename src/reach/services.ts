/** Reads what is sent: `tcp`, `udp`, `icmp`, `icmpv6` and `protocol` of an expectation or a matrix. */
import {
  fail,
  readOneOrMore,
  readTextOrNumber,
  take,
  type Reader,
} from '../config/config-reader.ts';
import { parseService, SERVICE_WORDS, type ServiceWord } from '../explain/question-names.ts';
import type { Service } from '../explain/explanation.ts';
import { closest } from '../source/suggest.ts';
import { get, type Entry, type Mapping, type Node } from '../source/yaml.ts';
import type { NamedService } from './suite.ts';

/** Reports a node without a service. If a mistyped key was meant for one, the schema reports that instead. */
export function requireService(reader: Reader, node: Mapping, what: string): void {
  const isMeant = ({ key }: Entry): boolean => closest(key, SERVICE_WORDS) !== undefined;
  if (node.entries.some(isMeant)) return;
  const message = `the ${what} does not say what is sent`;
  fail(reader, node, 'missing-service', message, `add one of ${SERVICE_WORDS.join(', ')}`);
}

/** Reads every service of the node, without repeats, in the order of SERVICE_WORDS. */
export function readServices(reader: Reader, node: Node): readonly NamedService[] {
  const services = new Map<string, NamedService>();
  for (const word of SERVICE_WORDS) {
    const value = get(node, word);
    for (const item of value === undefined ? [] : readOneOrMore(value)) {
      const text = readTextOrNumber(reader, item);
      if (text === undefined) continue;
      const service = take(reader, item, 'bad-service', parseService(word, text, undefined));
      if (service === undefined) continue;
      const named = nameService(word, text, service);
      // `echo` and `8` are the same.
      if (!services.has(identityOf(service))) services.set(identityOf(service), named);
    }
  }
  return [...services.values()];
}

function nameService(word: ServiceWord, text: string, service: Service): NamedService {
  return { service, text: `${word} ${text}`, key: `${word}/${text}` };
}

/** A key that is equal for services with the same packet. */
export function identityOf(service: Service): string {
  switch (service.kind) {
    case 'ports':
      return `${service.protocol}:${service.port}`;
    case 'icmp':
      return `${service.protocol}:${service.type}/${service.code}`;
    case 'protocol':
      return `${service.protocol}`;
    default:
      return service satisfies never;
  }
}

/** Finds the services of a matrix that `443`, `udp/53`, `icmp/echo` or `*` means. */
export function matchServices(
  text: string,
  services: readonly NamedService[],
): readonly NamedService[] {
  if (text === '*') return services;
  if (/^\d+$/.test(text)) {
    return services.filter(
      ({ service }) => service.kind === 'ports' && service.port === Number(text),
    );
  }
  const slash = text.indexOf('/');
  const word = SERVICE_WORDS.find((one) => one === text.slice(0, slash));
  const parsed = word && parseService(word, text.slice(slash + 1), undefined);
  if (parsed?.ok !== true) return [];
  const wanted = identityOf(parsed.value);
  return services.filter(({ service }) => identityOf(service) === wanted);
}
