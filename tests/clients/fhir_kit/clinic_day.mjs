// A clinic's day with fhir-kit-client: what it saw goes to standard output as JSON.
import { Client } from 'fhir-kit-client';

const [, , baseUrl, service, patient, start, end] = process.argv;
const fhir = new Client({ baseUrl, bearerToken: process.env.FHIR_TOKEN });

async function main() {
  const seen = {};
  seen.fhirVersion = (await fhir.capabilityStatement()).fhirVersion;

  const made = await fhir.create({ resourceType: 'Patient', body: { resourceType: 'Patient', gender: 'other' } });
  const read = await fhir.read({ resourceType: 'Patient', id: made.id });
  const updated = await fhir.update({ resourceType: 'Patient', id: made.id, body: { ...read, active: true } });
  const patched = await fhir.patch({
    resourceType: 'Patient',
    id: made.id,
    jsonPatch: [{ op: 'replace', path: '/gender', value: 'unknown' }],
  });
  const old = await fhir.vread({ resourceType: 'Patient', id: made.id, version: '1' });
  const history = await fhir.resourceHistory({ resourceType: 'Patient', id: made.id });
  seen.patient = [read.gender, updated.active, patched.gender, old.gender, history.total];
  await fhir.delete({ resourceType: 'Patient', id: made.id });
  seen.gone = await fhir.read({ resourceType: 'Patient', id: made.id }).catch((fault) => fault.response.status);

  const found = await fhir.operation({
    resourceType: 'Appointment', name: 'find', method: 'GET', input: { start, end, service, _count: 2 },
  });
  const next = await fhir.nextPage({ bundle: found });
  seen.found = [found.total, found.entry.length, next.entry.length];

  const input = {
    resourceType: 'Parameters',
    parameter: [
      { name: 'appointment', valueUri: `Appointment/${found.entry[0].resource.id}` },
      { name: 'patient', valueReference: { reference: patient } },
    ],
  };
  const booked = await fhir.operation({ resourceType: 'Appointment', name: 'book', input });
  seen.booked = [booked.status, booked.start];
  seen.refused = await fhir
    .operation({ resourceType: 'Appointment', name: 'book', input })
    .catch((fault) => [fault.response.status, fault.response.data.issue[0].details.coding[0].code]);

  const mine = await fhir.search({ resourceType: 'Appointment', searchParams: { patient, status: 'booked' } });
  const posted = await fhir.search({
    resourceType: 'Appointment', searchParams: { patient, status: 'booked' }, options: { postSearch: true },
  });
  seen.searched = [mine.total, posted.total];
  const cancelled = await fhir.patch({
    resourceType: 'Appointment',
    id: booked.id,
    jsonPatch: [{ op: 'replace', path: '/status', value: 'cancelled' }],
  });
  seen.cancelled = cancelled.status;
  console.log(JSON.stringify(seen));
}

main().catch((fault) => {
  console.error(fault, fault.response && JSON.stringify(fault.response.data));
  process.exit(1);
});
