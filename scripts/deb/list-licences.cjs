// One stanza of the copyright file for each npm package: `list-licences.cjs NODE_MODULES SHOWN_AS`.
const { readFileSync, readdirSync } = require('node:fs');
const { join } = require('node:path');

const [folder, shownAs] = process.argv.slice(2);

/** Names of the packages in a node_modules folder, scoped ones as @scope/name. */
function listPackages(directory) {
  return readdirSync(directory)
    .sort()
    .flatMap((name) =>
      name.startsWith('@')
        ? readdirSync(join(directory, name))
            .sort()
            .map((inner) => `${name}/${inner}`)
        : [name],
    );
}

for (const name of listPackages(folder)) {
  const manifest = JSON.parse(readFileSync(join(folder, name, 'package.json'), 'utf8'));
  const author = manifest.author?.name ?? manifest.author ?? `the authors of ${name}`;
  console.log(`
Files: ${shownAs}/${name}/*
Copyright: ${String(author).replace(/\s+/g, ' ')}
License: ${manifest.license ?? 'see the package'}
 ${name} ${manifest.version}; its licence is in its directory or its package.json.`);
}
