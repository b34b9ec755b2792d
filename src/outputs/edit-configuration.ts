/**
 * Puts other groups into the text of a configuration, and leaves all else of it as it is, comments included.
 */
import { isMap, parse, parseDocument, type Document } from 'yaml';
import type { Config } from '../config/config.ts';
import { writeConfiguration } from './write-configuration.ts';

const COLUMNS = 120;

export interface EditedConfiguration {
  readonly text: string;
  /** What is not as was asked, each as a sentence without a full stop. */
  readonly losses: readonly string[];
}

/** What of a configuration this file knows. */
interface Written {
  readonly prefixLists?: object;
  readonly securityGroups: object;
  readonly interfaces: Readonly<Record<string, { readonly securityGroups: readonly string[] }>>;
}

/**
 * @param text of a configuration that has been read without errors
 * @param config what it is to mean: of this the groups, the lists, and the groups of each interface are taken
 */
export function editConfiguration(text: string, config: Config): EditedConfiguration {
  const made = writeConfiguration(config);
  const written = parse(made.text) as Written;
  const document = parseDocument(text);
  const losses = [...made.losses];
  setPart(document, 'prefixLists', written.prefixLists);
  setPart(document, 'securityGroups', written.securityGroups);
  if (document.has('templates')) {
    document.delete('templates');
    losses.push("'templates' is left out: its groups are replaced");
  }
  for (const [key, { securityGroups }] of Object.entries(written.interfaces)) {
    if (!isMap(document.getIn(['interfaces', key]))) {
      losses.push(
        `the interface ${key} is not written in this file: give it ${securityGroups.join(', ')}`,
      );
      continue;
    }
    const list = document.createNode(securityGroups);
    list.flow = true;
    document.setIn(['interfaces', key, 'securityGroups'], list);
    document.deleteIn(['interfaces', key, 'audit']);
  }
  return { text: document.toString({ lineWidth: COLUMNS }), losses };
}

function setPart(document: Document, key: string, value: object | undefined): void {
  if (value === undefined) document.delete(key);
  else document.set(key, document.createNode(value));
}
