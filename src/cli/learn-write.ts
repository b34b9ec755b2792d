/** Writes a proposal: as YAML, in place of the groups of a configuration if it was given; CloudFormation; Terraform. */
import type { Config } from '../config/config.ts';
import type { PolicyModel } from '../policy/model.ts';
import { makeConfig } from '../inputs/make-config.ts';
import { NETNS_DIRECTORY } from './check.ts';
import type { OUTPUTS } from './learn-options.ts';
import { DOCUMENT_BYTES_MAX, readText } from '../source/yaml.ts';

const COLUMNS = 116;

export interface Written {
  readonly text: string;
  readonly losses: readonly string[];
}

/**
 * @param config whose interfaces these are; undefined: they were found
 * @param head lines that are written in front as comments, where the form has comments
 */
export async function writeProposal(
  model: PolicyModel,
  config: Config | undefined,
  form: (typeof OUTPUTS)[number],
  head: readonly string[],
): Promise<Written> {
  switch (form) {
    case 'yaml': {
      const { text, losses } = await writeYaml(model, config);
      const comment = head.flatMap((line) => fold(line)).map((line) => `# ${line}`.trimEnd());
      return { text: `${comment.join('\n')}\n${text}`, losses };
    }
    case 'cloudformation':
      return (await import('../outputs/write-template.ts')).writeTemplate(model);
    case 'terraform':
      return (await import('../outputs/write-terraform.ts')).writeTerraform(model);
    default:
      return form satisfies never;
  }
}

async function writeYaml(model: PolicyModel, config: Config | undefined): Promise<Written> {
  if (config !== undefined && config.model.isElsewhere !== true) {
    const text = readText(config.file, [], DOCUMENT_BYTES_MAX);
    const { editConfiguration } = await import('../outputs/edit-configuration.ts');
    if (text !== undefined) return editConfiguration(text, { ...config, model });
  }
  const { writeConfiguration } = await import('../outputs/write-configuration.ts');
  const elsewhere = { ...model, isElsewhere: true };
  return writeConfiguration(makeConfig(config?.file ?? '(proposal)', elsewhere, NETNS_DIRECTORY));
}

/** Lines of at most so many columns, since comments are for people. */
function fold(text: string): readonly string[] {
  const [, indent, rest] = /^( *)(.*)$/s.exec(text)!;
  const lines: string[] = [];
  let line = indent;
  for (const word of rest.split(' ')) {
    if (line.trim() !== '' && line.length + word.length >= COLUMNS) {
      lines.push(line);
      line = `${indent}  `;
    }
    line += line.trim() === '' ? word : ` ${word}`;
  }
  return [...lines, line];
}
