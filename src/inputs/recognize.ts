/**
 * Decides what a file or folder is, by its content, for every command that takes one. It is the only place that does;
 * foreign-input.ts names what nobody reads.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseTemplate, type TemplateTree } from '../cloudformation/template-tree.ts';
import { isFolder } from '../cloudformation/cloud-assembly.ts';
import { foreignText, isTemplate } from '../config/foreign-input.ts';
import type { Problem } from '../source/problem.ts';
import { DOCUMENT_BYTES_MAX, parseDocument, readText, type Node } from '../source/yaml.ts';
import { isAccount } from './account/read-account.ts';
import { INPUT_BYTES_MAX, parseJsonFile, readJsonFile, type JsonFile } from './read-json.ts';
import { isTerraform } from './terraform/read-terraform.ts';

/** Answers in a folder; more are not looked at. */
const FILES_MAX = 5000;
/** JSON of one of these programs has one of these words; other files are not parsed for it. */
const HINTS =
  /"(?:terraform_version|planned_values|resource_changes|format_version|deployment|SecurityGroups|SecurityGroupRules|NetworkInterfaces|PrefixLists|Entries|Vpcs|Subnets|Reservations)"\s*:/;

/** What a file or folder is, with what has been read of it. */
export type Recognized =
  | {
      readonly kind: 'configuration';
      readonly file: string;
      /** Undefined: it could not be read, or it is of a kind that nobody reads; problems say so. */
      readonly root: Node | undefined;
      readonly problems: readonly Problem[];
    }
  | {
      readonly kind: 'template' | 'assembly';
      readonly file: string;
      /** Undefined for an assembly. */
      readonly text: string | undefined;
      readonly tree: TemplateTree | undefined;
    }
  | { readonly kind: 'terraform'; readonly file: string; readonly json: JsonFile }
  | {
      readonly kind: 'account';
      readonly file: string;
      readonly files: readonly JsonFile[];
      readonly problems: readonly Problem[];
    };

export function recognize(file: string): Recognized {
  const problems: Problem[] = [];
  const nothing = (): Recognized => ({ kind: 'configuration', file, root: undefined, problems });
  if (isFolder(file)) return recognizeFolder(file);
  const text = readText(file, problems, INPUT_BYTES_MAX);
  if (text === undefined) return nothing();
  const foreign = foreignText(file, text, 'configuration');
  if (foreign !== undefined) {
    problems.push(foreign);
    return nothing();
  }
  const json = looksLikeJson(text) ? parseJsonFile(file, text, []) : undefined;
  if (json !== undefined && isTerraform(json.value)) return { kind: 'terraform', file, json };
  if (json !== undefined && isAccount(json.value))
    return { kind: 'account', file, files: [json], problems };
  if (text.length > DOCUMENT_BYTES_MAX) {
    readText(file, problems, DOCUMENT_BYTES_MAX);
    return nothing();
  }
  return recognizeYaml(file, text, problems);
}

/** JSON that may be another program's. A template has that name in it, and may hold anything else as text. */
function looksLikeJson(text: string): boolean {
  return /^\uFEFF?\s*\{/.test(text) && HINTS.test(text);
}

function recognizeYaml(file: string, text: string, problems: Problem[]): Recognized {
  // Nearly every template contains the name of an AWS type, and hardly another file does. So each text is parsed only
  // once.
  const tree = text.includes('AWS::') ? parseTemplate(file, text) : undefined;
  if (tree?.root !== undefined && isTemplate(tree.root, text))
    return { kind: 'template', file, text, tree };
  const root = parseDocument(file, text, problems);
  return isTemplate(root, text)
    ? { kind: 'template', file, text, tree }
    : { kind: 'configuration', file, root, problems };
}

/** A folder with a manifest is a cloud assembly; one with what EC2 answered, an account. */
function recognizeFolder(folder: string): Recognized {
  if (existsSync(join(folder, 'manifest.json')))
    return { kind: 'assembly', file: folder, text: undefined, tree: undefined };
  const problems: Problem[] = [];
  const files = listJson(folder)
    .flatMap((file) => readJsonFile(file, problems) ?? [])
    .filter(({ value }) => isAccount(value));
  return files.length === 0 && problems.length === 0
    ? { kind: 'assembly', file: folder, text: undefined, tree: undefined }
    : { kind: 'account', file: folder, files, problems };
}

function listJson(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith('.json'))
      .sort()
      .slice(0, FILES_MAX)
      .map((name) => join(folder, name))
      .filter((file) => statSync(file, { throwIfNoEntry: false })?.isFile() === true);
  } catch {
    return [];
  }
}
