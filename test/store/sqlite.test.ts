/** The contract of the store, held by SQLite and by its twin in memory. */
import { join } from 'node:path';
import { testContract, type Backend } from './contract.ts';
import { makeFolder, openStore } from './folder.ts';
import { memory } from './memory-store.ts';
import { testAgainstTwin } from './twin.ts';

const sqlite: Backend = {
  name: 'SQLite',
  make: async (t) => {
    const file = join(makeFolder(t), 'store.db');
    const open = () => openStore(t, file);
    const store = await open();
    return { store, other: open, compact: () => store.compact({ ageMs: 0, rows: 0 }) };
  },
};

testContract(sqlite);
testContract(memory);
testAgainstTwin(sqlite, memory);
