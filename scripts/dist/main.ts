/**
 * Makes dist/, which is what runs, from build/, which is what tsc wrote. Run by scripts/build.
 *
 * dist/ has the three folders of build/. In dist/src the constants of the packet path are inlined (scripts/inline), the
 * validator of the configuration is compiled (scripts/validators) and the daemon is bundled (scripts/bundle).
 * dist/test and dist/scripts are copies: what they import is dist/src. Nothing is ever written to build/, so that tsc can
 * go on from what it wrote, and a step can be done again. Each folder is made anew when its inputs have changed, and takes
 * its place when it is complete (publish.ts).
 */
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inputsOf } from './inputs.ts';
import { publish } from './publish.ts';

/** This file is in build/scripts/dist. */
const root = fileURLToPath(new URL('../../..', import.meta.url));
const build = join(root, 'build');
const dist = join(root, 'dist');

await publish(join(dist, 'src'), inputsOf(root, 'src'), async (folder) => {
  console.log('build: dist/src, with constants inlined and the daemon bundled');
  // Compilers are loaded only where there is something to do.
  const [{ inlineModules }, { writeValidator }, { bundlePrograms }, { bundlePage }] =
    await Promise.all([
      import('../inline/modules.ts'),
      import('../validators/validator.ts'),
      import('../bundle/bundle.ts'),
      import('../bundle/page.ts'),
    ]);
  copy(join(build, 'src'), folder);
  await inlineModules(join(build, 'src'), folder);
  const ofPage = await bundlePage(root, join(folder, 'console/page'));
  await bundlePrograms(folder, [writeValidator(folder)], ofPage);
});
for (const name of ['test', 'scripts'] as const)
  await publish(join(dist, name), inputsOf(root, name), (folder) => {
    console.log(`build: dist/${name}`);
    copy(join(build, name), folder);
  });

function copy(from: string, to: string): void {
  cpSync(from, to, { recursive: true });
}
