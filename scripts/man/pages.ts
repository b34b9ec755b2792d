/**
 * The manual pages: prose from docs/man/*.in, and what can be derived from the code: options and subcommands
 * from commander, keys from the configuration's schema. They are made when a package is built, so there is
 * no copy that could be stale.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { apiCommand } from '../../src/api/options.ts';
import { dockerCommand } from '../../src/doors/docker/options.ts';
import { metadataCommand } from '../../src/metadata/options.ts';
import { describeCommand, listCommands, type CommandNode } from '../../src/cli/completion-tree.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { daemonCommand } from '../../src/service/arguments.ts';
import { version } from '../../src/service/version.ts';
import { REASONS } from '../../src/engine/reasons.ts';
import { listKeys, type Schema } from '../docs/reference.ts';
import { escapeRoff, quoteRoff, sentence, tagged } from './roff.ts';

/** File names of the pages; docs/man/NAME.in is the source. */
export const PAGES = [
  'secgroupd.8',
  'secgroup-api.8',
  'secgroupd-docker.8',
  'secgroup-metadata.8',
  'sgctl.1',
  'secgroupd.yaml.5',
] as const;

/** The text of each page by its file name. `date` is shown at the foot: YYYY-MM-DD. */
export async function makePages(root: string, date: string): Promise<Map<string, string>> {
  const schema = JSON.parse(
    readFileSync(join(root, 'config/secgroupd.schema.json'), 'utf8'),
  ) as Schema;
  const daemon = describeCommand(daemonCommand(() => undefined));
  const program = describeCommand(await buildProgram());
  const parts: Readonly<Record<string, string>> = {
    '@version@': version,
    '@date@': date,
    '@daemon-options@': optionList(daemon),
    '@api-options@': optionList(describeCommand(apiCommand(() => undefined))),
    '@docker-options@': optionList(describeCommand(dockerCommand(() => undefined))),
    '@metadata-options@': optionList(describeCommand(metadataCommand(() => undefined))),
    '@daemon-commands@': commandList(daemon),
    '@sgctl-options@': optionList(program),
    '@sgctl-commands@': commandList(program),
    '@keys@': keyList(schema),
    '@drop-reasons@': REASONS.slice(1)
      .map(([name, meaning]) => tagged(name, meaning))
      .join(''),
  };
  return new Map(
    PAGES.map((page) => {
      const source = readFileSync(join(root, 'docs/man', `${page}.in`), 'utf8');
      return [page, fill(page, source, parts)];
    }),
  );
}

function fill(page: string, source: string, parts: Readonly<Record<string, string>>): string {
  // A part that ends in a line break stands on a line of its own.
  return source.replace(/(@[a-z-]+@)(\n?)/g, (_, name: string, end: string) => {
    const part = parts[name];
    if (part === undefined) throw new Error(`docs/man/${page}.in: there is no ${name}`);
    return part.endsWith('\n') ? part : `${part}${end}`;
  });
}

function optionList({ options }: CommandNode): string {
  return options.map(({ flags, description }) => tagged(flags, description)).join('');
}

function commandList(program: CommandNode): string {
  return listCommands(program)
    .slice(1)
    .filter(({ name }) => name !== 'help')
    .map(commandSection)
    .join('');
}

function commandSection(command: CommandNode): string {
  const places = command.arguments.map(({ name, isRequired, isRepeated }) => {
    const place = `${name}${isRepeated ? '...' : ''}`;
    return isRequired ? place : `[${place}]`;
  });
  const usage = [...command.path, ...places].join(' ');
  const text = command.description === '' ? command.summary : command.description;
  return [
    `.SS ${quoteRoff(usage)}\n`,
    `${sentence(text)}\n`,
    ...command.arguments.map(({ name, description }) => tagged(name, description)),
    // Every command has --help.
    ...command.options
      .filter(({ names }) => !names.includes('--help'))
      .map(({ flags, description }) => tagged(flags, description)),
  ].join('');
}

function keyList(schema: Schema): string {
  return listKeys(schema)
    .map(({ path, type, fallback, meaning }) => {
      const about = [type, fallback]
        .filter((text) => text !== '')
        .join('; ')
        .replaceAll('`', '');
      const text = meaning === '' ? '' : `\n.br\n${escapeRoff(meaning.replaceAll('`', ''))}`;
      return `.TP\n.B ${quoteRoff(path)}\n${escapeRoff(about)}${text}\n`;
    })
    .join('');
}
