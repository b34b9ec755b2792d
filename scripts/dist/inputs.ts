/** What each folder of dist/ is made from. */
import { join } from 'node:path';
import { hashInputs } from './publish.ts';

/** Folders of build/scripts with what makes dist/src. */
const TOOLS: readonly string[] = ['dist', 'inline', 'validators', 'bundle'];

export type DistFolder = 'src' | 'test' | 'scripts';

/** The hash of what dist/`name` is made from. @param root of the source tree */
export function inputsOf(root: string, name: DistFolder): string {
  const folder = join(root, 'build', name);
  if (name !== 'src') return hashInputs([folder]);
  const tools = TOOLS.map((tool) => join(root, 'build/scripts', tool));
  // The versions of all packages: some are in the bundle, others make it. The page is bundled from its sources.
  const page = join(root, 'src/console/page');
  return hashInputs([folder, page, ...tools, join(root, 'package-lock.json')]);
}
