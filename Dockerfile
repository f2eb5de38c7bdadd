# One image for the web server, the workers and the beat: compose.yaml says which command each runs.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    GLASSPOOL_ENV=production GLASSPOOL_DATA=/data GLASSPOOL_STATIC=/app/static

RUN useradd --uid 10001 --create-home --home-dir /home/glasspool --shell /usr/sbin/nologin glasspool \
    && install -d -o glasspool -g glasspool /data /app
WORKDIR /app

COPY requirements.txt ./
RUN python -m pip install --require-hashes -r requirements.txt

COPY . .
USER 10001
# The key exists during this one command only: collecting static files signs nothing.
RUN DJANGO_SECRET_KEY="$(python -c 'import secrets; print(secrets.token_urlsafe(64))')" \
    python manage.py collectstatic --noinput

VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/livez', timeout=4)"]

# gunicorn opens a control socket in the home directory unless told not to. Its access log stays off: it would
# keep addresses and queries of people.
CMD ["gunicorn", "config.wsgi:application", "--bind", "0.0.0.0:8000", "--workers", "2", "--threads", "4", \
     "--no-control-socket", "--worker-tmp-dir", "/dev/shm"]
