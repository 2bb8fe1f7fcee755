# Sidekiq: at most once (without Pro, a process that dies loses what it ran); no order among threads.
#
# Run by `sidekiq -r`, or by `ruby` to put one job.

require 'sidekiq'

Sidekiq.configure_server { |config| config.redis = { path: ENV.fetch('BENCH_SOCKET') } }
Sidekiq.configure_client { |config| config.redis = { path: ENV.fetch('BENCH_SOCKET') } }
Sidekiq.logger.level = Logger::WARN

$count = 0
PAUSE = ENV.fetch('BENCH_SLEEP', '0').to_f

class Work
  include Sidekiq::Job
  sidekiq_options retry: 5

  def perform(text)
    sleep(PAUSE) if PAUSE > 0
    $count += 1
  end
end

if Sidekiq.server?
  # What the others have mapped into memory: a thread writes it to the file, 100 times a second.
  Thread.new do
    file = File.open(ENV.fetch('BENCH_COUNT'), 'r+b')
    loop do
      file.pwrite([$count].pack('Q'), 0)
      sleep 0.01
    end
  end
elsif ENV['BENCH_PUT']
  Work.perform_async(File.read(ENV['BENCH_PUT']))
end
