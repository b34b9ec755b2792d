/** Configurations as text, for the tests of the loader. */
import { buildConfig, type LoadedConfig, type LoadOptions } from '../../src/config/load-config.ts';
import type { Problem } from '../../src/source/problem.ts';
import { parseDocument } from '../../src/source/yaml.ts';

export const FILE = 'secgroupd.yaml';

/** Loads a text as the file `secgroupd.yaml`, without a disk. */
export function loadText(text: string, more: Partial<LoadOptions> = {}): LoadedConfig {
  const problems: Problem[] = [];
  const root = parseDocument(FILE, text, problems);
  if (root === undefined) return { config: undefined, problems, files: [FILE] };
  const loaded = buildConfig(FILE, root, { netnsDirectory: '/run/netns', ...more });
  const all = [...problems, ...loaded.problems];
  return { ...loaded, config: problems.length > 0 ? undefined : loaded.config, problems: all };
}

/** `line:column severity code path: message`, one a problem. */
export function problemLines(problems: readonly Problem[]): string[] {
  return problems.map(({ at, severity, code, path, message }) => {
    return `${at?.line ?? 0}:${at?.column ?? 0} ${severity} ${code} ${path}: ${message}`;
  });
}
