/**
 * Makes the wire table of src/api/ from the schemas that the SDK for JavaScript carries.
 *
 * A schema is an array: [kind, namespace, name, traits, …]. A structure goes on with the names of its members and
 * their schemas, a list with the schema of its items. A schema can be a number (a simple type), or a function that
 * returns it. A member's schema may come as [schema, traits].
 */
import type { ServiceSource } from './actions.ts';

interface Traits {
  readonly xmlName?: string;
  readonly ec2QueryName?: string;
  readonly xmlFlattened?: number;
}
type Schema = number | (() => Schema) | 'unit' | readonly unknown[];

/** Kinds of the SDK's schemas. */
const LIST = 1;
const STRUCTURE = 3;
const LIST_OF_SIMPLE = 64;
const SIMPLE = 0;

/** The letter of a simple type in the table. EC2 and CloudFormation have no fractions in what is served. */
const LETTERS: ReadonlyMap<number, string> = new Map([
  [0, 's'],
  [1, 'i'],
  [2, 'b'],
  [4, 't'],
  [5, 't'],
  [21, 'x'],
  // A map of texts.
  [128, 'm'],
]);

/** What a client package has in it, as far as it is read here. */
export interface ClientPackage {
  readonly schemas: Readonly<Record<string, unknown>>;
  readonly apiVersion: string;
  readonly xmlNamespace: string;
}

/** The text of the TypeScript file with the table of one service. */
export function tableOf(source: ServiceSource, client: ClientPackage): string {
  const collector = new Collector(source.service === 'ec2');
  const operations = [...source.actions].sort().map((name) => {
    const operation = client.schemas[`${name}$`];
    if (!Array.isArray(operation)) throw new Error(`${source.packageName} has no action ${name}`);
    const [input, output] = [operation[4], operation[5]] as [Schema, Schema];
    return `    ${name}: '${collector.target(input)} ${collector.target(output)}',`;
  });
  const shapes = [...collector.shapes].sort(([a], [b]) => (a < b ? -1 : 1));
  const constant = source.service.toUpperCase();
  return [
    `/** The wire names of ${constant}. scripts/generate-wire makes this table of ${source.packageName}. */`,
    "import type { ServiceTable } from './wire-table.ts';",
    '',
    '// prettier-ignore',
    `export const ${constant}_TABLE: ServiceTable = {`,
    `  service: '${source.service}',`,
    `  version: '${client.apiVersion}',`,
    `  namespace: '${client.xmlNamespace}',`,
    '  operations: {',
    ...operations,
    '  },',
    '  shapes: {',
    ...shapes.map(([name, text]) => `    ${name}: '${text}',`),
    '  },',
    '};',
    '',
  ].join('\n');
}

/** Collects the shapes that are reached from the actions. */
class Collector {
  readonly shapes = new Map<string, string>();
  private readonly isEc2: boolean;

  constructor(isEc2: boolean) {
    this.isEc2 = isEc2;
  }

  /** How the table names a schema: a letter, `[` and a letter for a plain list, or a shape's name; `-` for none. */
  target(schema: Schema): string {
    const plain = resolve(schema);
    if (plain === 'unit') return '-';
    if (typeof plain === 'number') {
      return (plain & LIST_OF_SIMPLE) !== 0
        ? this.list(plain & ~LIST_OF_SIMPLE, {}, false)
        : letterOf(plain);
    }
    const [kind, , name] = plain as [number, string, string];
    if (kind === SIMPLE) return this.target(plain[4] as Schema);
    if (kind === LIST) {
      const [item, traits] = memberOf(plain[4]);
      return this.list(item, traits, traitsOf(plain[3]).xmlFlattened === 1);
    }
    if (kind !== STRUCTURE)
      throw new Error(`${name} is of kind ${kind}, which the table can't hold`);
    if (!this.shapes.has(name)) {
      // Taken before its members are: a structure may hold itself.
      this.shapes.set(name, '');
      this.shapes.set(name, this.members(plain));
    }
    return name;
  }

  /** `[item`, with the name of an item's element if that is not the usual one: `[item<name`. */
  private list(item: Schema, { xmlName }: Traits, isFlat: boolean): string {
    if (isFlat) throw new Error('a flattened list outside EC2, which the table has no place for');
    const usual = this.isEc2 ? 'item' : 'member';
    const element = xmlName ?? 'member';
    return `[${this.target(item)}${element === usual ? '' : `<${element}`}`;
  }

  private members(structure: readonly unknown[]): string {
    const names = structure[4] as readonly string[];
    const schemas = structure[5] as readonly unknown[];
    return names
      .map((name, i) => {
        const [schema, own] = memberOf(schemas[i]);
        const traits = { ...targetTraits(schema), ...own };
        const query =
          (this.isEc2 ? traits.ec2QueryName : undefined) ??
          (this.isEc2 ? capitalize(traits.xmlName ?? name) : (traits.xmlName ?? name));
        const element = own.xmlName ?? name;
        const parts = [
          name,
          this.target(schema),
          query === name ? '' : query,
          element === name ? '' : element,
        ];
        return parts.join(':').replace(/:+$/, '');
      })
      .join(' ');
  }
}

function resolve(schema: Schema): Exclude<Schema, () => Schema> {
  let plain = schema;
  while (typeof plain === 'function') plain = plain();
  return plain;
}

/** A member's schema apart from its traits. */
function memberOf(member: unknown): [Schema, Traits] {
  if (Array.isArray(member) && member.length === 2)
    return [member[0] as Schema, traitsOf(member[1])];
  return [member as Schema, {}];
}

function targetTraits(schema: Schema): Traits {
  const plain = resolve(schema);
  return Array.isArray(plain) ? traitsOf(plain[3]) : {};
}

/** Traits are an object, or a number with the bits of those that have no value (xmlFlattened is none of them). */
function traitsOf(traits: unknown): Traits {
  return typeof traits === 'object' && traits !== null ? traits : {};
}

function letterOf(kind: number): string {
  const letter = LETTERS.get(kind);
  if (letter === undefined) throw new Error(`no letter for the simple type ${kind}`);
  return letter;
}

function capitalize(name: string): string {
  return name[0].toUpperCase() + name.slice(1);
}
