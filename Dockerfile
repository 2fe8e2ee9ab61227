# The server, its workers and beat; MongoDB and Valkey run beside it (docker-compose.yml).
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY fhir_server ./fhir_server
COPY workers ./workers
COPY profiles ./profiles
COPY terminology ./terminology
RUN python -m venv /opt/fhir && /opt/fhir/bin/pip install --no-cache-dir '.[push]'

FROM python:3.12-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin fhir \
  && install -d -o fhir -m 700 /keys
COPY --from=build /opt/fhir /opt/fhir
ENV PATH=/opt/fhir/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER fhir
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=6 \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:%s/health/ready' % os.environ.get('FHIR_PORT', '8080'), timeout=2)"]
CMD ["fhir-server", "serve"]
