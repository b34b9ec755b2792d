/**
 * The wire table says how each action's parameters and answers are named on the wire. This file has its form and
 * reads it; wire-ec2.ts, wire-sts.ts and wire-cloudformation.ts hold the data, which scripts/generate-wire makes of the
 * SDK's schemas.
 *
 * A shape is a line of members, `name:target:query:element`, with blanks between. `query` is its name in a request and
 * `element` that in an answer; both are left out where they are the member's name. A target is a letter for a simple
 * type, the name of a shape, or `[` and a target for a list. `<name` after that names the element of an item where it
 * is not the protocol's usual one.
 */
export type TableName = 'ec2' | 'sts' | 'cloudformation';

export interface ServiceTable {
  /** The name in a signature's scope. */
  readonly service: TableName;
  /** The value of the parameter `Version`. */
  readonly version: string;
  /** Of the XML of answers. */
  readonly namespace: string;
  /** `INPUT OUTPUT`: the names of two shapes, `-` for none. */
  readonly operations: Readonly<Record<string, string>>;
  readonly shapes: Readonly<Record<string, string>>;
}

export type Scalar = 'string' | 'integer' | 'boolean' | 'timestamp' | 'blob';
export type Type =
  | { readonly kind: Scalar }
  // Of texts to texts.
  | { readonly kind: 'map' }
  | ({ readonly kind: 'list'; readonly item: Type } & Tags)
  | Structure;

/** Of the element in an answer. */
interface Tags {
  readonly element: string;
  readonly startTag: string;
  readonly endTag: string;
}

export interface Structure {
  readonly kind: 'structure';
  readonly members: readonly Member[];
  /** Members by their name in a request. */
  readonly byQuery: ReadonlyMap<string, Member>;
}

export interface Member extends Tags {
  /** As the SDKs show it to a program. */
  readonly name: string;
  readonly type: Type;
  readonly query: string;
}

export interface Operation {
  readonly name: string;
  readonly input: Structure;
  /** Undefined: the action answers nothing. */
  readonly output: Structure | undefined;
}

export interface Service {
  readonly name: TableName;
  readonly version: string;
  readonly namespace: string;
  /** Lists are `Name.N` in place of `Name.member.N`, and an answer has no wrapper. */
  readonly isEc2: boolean;
  /** Undefined: the table does not have such an action. */
  operation(name: string): Operation | undefined;
  readonly operationNames: readonly string[];
}

const SIMPLE: ReadonlyMap<string, Scalar | 'map'> = new Map([
  ['s', 'string'],
  ['i', 'integer'],
  ['b', 'boolean'],
  ['t', 'timestamp'],
  ['x', 'blob'],
  ['m', 'map'],
]);

/** Reads a table. Shapes are read when they are asked for, and once. */
export function readTable(table: ServiceTable): Service {
  const isEc2 = table.service === 'ec2';
  const structures = new Map<string, Structure>();
  const operations = new Map<string, Operation>();

  function structure(name: string): Structure {
    const known = structures.get(name);
    if (known !== undefined) return known;
    const members: Member[] = [];
    const byQuery = new Map<string, Member>();
    const made: Structure = { kind: 'structure', members, byQuery };
    // Known before its members are: a shape may hold itself.
    structures.set(name, made);
    const text = table.shapes[name];
    if (text === undefined) throw new Error(`the wire table of ${table.service} lacks ${name}`);
    for (const word of text.split(' ')) {
      if (word === '') continue;
      const [member, target, query = '', element = ''] = word.split(':');
      const read = {
        name: member,
        type: type(target),
        query: query === '' ? member : query,
        ...tagsOf(element === '' ? member : element),
      };
      members.push(read);
      byQuery.set(read.query, read);
    }
    return made;
  }

  function type(target: string): Type {
    if (target.startsWith('[')) {
      // The innermost list comes first in the text: what follows the last `<` is of the outermost.
      const at = target.lastIndexOf('<');
      const inner = at === -1 ? target.slice(1) : target.slice(1, at);
      const element = at === -1 ? (isEc2 ? 'item' : 'member') : target.slice(at + 1);
      return { kind: 'list', item: type(inner), ...tagsOf(element) };
    }
    const kind = SIMPLE.get(target);
    return kind === undefined ? structure(target) : { kind };
  }

  const EMPTY: Structure = { kind: 'structure', members: [], byQuery: new Map() };
  return {
    name: table.service,
    version: table.version,
    namespace: table.namespace,
    isEc2,
    operationNames: Object.keys(table.operations),
    operation(name) {
      const known = operations.get(name);
      if (known !== undefined) return known;
      if (!Object.hasOwn(table.operations, name)) return undefined;
      const [input, output] = table.operations[name].split(' ');
      const read: Operation = {
        name,
        input: input === '-' ? EMPTY : structure(input),
        output: output === '-' ? undefined : structure(output),
      };
      operations.set(name, read);
      return read;
    },
  };
}

function tagsOf(element: string): Tags {
  return { element, startTag: `<${element}>`, endTag: `</${element}>` };
}
