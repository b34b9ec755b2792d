/** What is sent: `tcp`, `udp`, `icmp`, `icmpv6` and `protocol` of an expectation or a matrix. */
import {
  fail,
  readOneOrMore,
  readTextOrNumber,
  take,
  type Reader,
} from '../control/config/config-reader.ts';
import { parseService, SERVICE_WORDS, type ServiceWord } from '../control/views/explain-names.ts';
import type { Service } from '../policy/explanation.ts';
import { closest } from '../source/suggest.ts';
import { get, type Entry, type Mapping, type Node } from '../source/yaml.ts';
import type { NamedService } from './suite.ts';

/** Reports a node that names no service, unless a mistyped key was meant for one, which the schema tells. */
export function requireService(reader: Reader, node: Mapping, what: string): void {
  const isMeant = ({ key }: Entry): boolean => closest(key, SERVICE_WORDS) !== undefined;
  if (node.entries.some(isMeant)) return;
  const message = `the ${what} does not say what is sent`;
  fail(reader, node, 'missing-service', message, `add one of ${SERVICE_WORDS.join(', ')}`);
}

/** Every service that the node names, each once, in the order of SERVICE_WORDS. */
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
      // `echo` and `8` are one.
      if (!services.has(identityOf(service))) services.set(identityOf(service), named);
    }
  }
  return [...services.values()];
}

function nameService(word: ServiceWord, text: string, service: Service): NamedService {
  return { service, text: `${word} ${text}`, key: `${word}/${text}` };
}

/** Equal for services that are the same packet. */
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

/** What `443`, `udp/53`, `icmp/echo` or `*` means among the services of a matrix; none if there is no such. */
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
